// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlClient: a client of a control socket whose server runs in this thread: it sends requests, and runs the
// server's loop until the reply arrives. Replies to several requests may be awaited in any order.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libblktap/ipc/channel.hpp"
#include "tests/support/machine/vbd_harness.hpp"

namespace blktap::testing {

class ControlClient {
  public:
    ControlClient(VbdHarness& machine, const std::string& path)
        : machine_(machine), socket_(ipc::MessageSocket::connect_to(path)) {}

    /// Sends a request and returns its id.
    std::uint64_t send(const std::string& request, const ipc::Json& arguments = ipc::Json::object(),
                       const std::vector<int>& descriptors = {}) {
        const std::uint64_t id = ++last_id_;
        const ipc::Json json{
            {"version", ipc::protocol_version}, {"id", id}, {"request", request}, {"arguments", arguments}};
        socket_.send(json.dump(), descriptors);
        return id;
    }
    void send_text(const std::string& text) { socket_.send(text); }

    bool has_reply(std::uint64_t id) {
        receive();
        return replies_.contains(id);
    }
    /// The reply to request `id` (0: to a message that could not be parsed), when it comes.
    ipc::Reply reply(std::uint64_t id) {
        machine_.run_until([&] { return has_reply(id); });
        ipc::Reply reply = std::move(replies_.at(id));
        replies_.erase(id);
        return reply;
    }
    ipc::Reply call(const std::string& request, const ipc::Json& arguments = ipc::Json::object(),
                    const std::vector<int>& descriptors = {}) {
        return reply(send(request, arguments, descriptors));
    }
    /// The error's code; empty for success.
    std::string error(const std::string& request, const ipc::Json& arguments = ipc::Json::object(),
                      const std::vector<int>& descriptors = {}) {
        return call(request, arguments, descriptors).error_code;
    }

    ipc::MessageSocket& socket() { return socket_; }

  private:
    void receive() {
        while (auto message = socket_.receive()) {
            auto parsed = ipc::parse_message(std::move(*message));
            if (parsed.reply) replies_[parsed.reply->id] = std::move(*parsed.reply);
        }
    }

    VbdHarness& machine_;
    ipc::MessageSocket socket_;
    std::uint64_t last_id_ = 0;
    std::map<std::uint64_t, ipc::Reply> replies_;
};

}  // namespace blktap::testing
