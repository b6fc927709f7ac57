// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Every error names the socket: a test often talks to several tapdisks.
#include "tests/replay/frontend/tapdisk_connection.hpp"

#include <thread>

#include "tests/replay/failure.hpp"

namespace blktap::replay {
namespace {

/// Between two attempts: the next tapdisk is there some milliseconds after the end of the old one.
constexpr auto come_back_interval = std::chrono::milliseconds(5);

[[noreturn]] void throw_gone(const std::string& socket_path) {
    throw BackendGone("the tapdisk at " + socket_path + " went away");
}

bool means_gone(const std::error_code& code) {
    return code == Errc::peer_closed || code == std::errc::broken_pipe || code == std::errc::connection_reset;
}

}  // namespace

ipc::Reply call_or_throw(ipc::Channel& channel, const std::string& socket_path, const std::string& request,
                         const ipc::Json& arguments, const std::vector<int>& descriptors) {
    try {
        ipc::Reply reply = channel.call(request, arguments, descriptors);
        if (reply.error_code.empty()) return reply;
        const std::string refusal = "the tapdisk at " + socket_path + " refused to " + request + ": " +
                                    reply.error_message + " (" + reply.error_code + ")";
        const std::string& reason = reply.error_message;
        if (reason.starts_with("no image is open") || reason.starts_with("the image is paused"))
            throw NoImageYet(refusal);
        throw std::runtime_error(refusal);
    } catch (const std::system_error& error) {
        if (means_gone(error.code())) throw_gone(socket_path);
        throw std::system_error(error.code(), socket_path + ": " + request);
    }
}

void answer_requests(ipc::Channel& channel, const std::string& socket_path) {
    try {
        while (const auto request = channel.next_request())
            channel.reply_error(request->id, Errc::unknown_request, "ring-replay serves no requests");
    } catch (const std::system_error& error) {
        if (means_gone(error.code())) throw_gone(socket_path);
        throw;
    }
}

TapdiskConnection::TapdiskConnection(std::string socket_path, std::string name, Nanoseconds patience)
    : socket_path_(std::move(socket_path)),
      name_(std::move(name)),
      patience_(patience),
      channel_(ipc::MessageSocket::connect_to(socket_path_)) {}

Connected TapdiskConnection::connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) {
    // A client with a local ring may connect but once.
    if (rings.local && std::exchange(was_local_, rings.local))
        channel_ = ipc::Channel(ipc::MessageSocket::connect_to(socket_path_));
    ipc::Connect message{rings};
    message.until_hangup = true;
    message.connection = name_;
    ipc::Reply reply = call_or_throw(channel_, socket_path_, message, descriptors);
    return {reply.result.get<ipc::DeviceDescription>(), std::move(reply.descriptors)};
}

std::optional<Connected> TapdiskConnection::come_back(const ipc::ConnectArguments& rings,
                                                      const std::vector<int>& descriptors) {
    if (!rings.local) return std::nullopt;
    ipc::Adopt message{rings};
    message.until_hangup = true;
    message.connection = name_;
    const MonotonicClock clock;
    const Nanoseconds deadline = clock.now() + patience_;
    std::string reason;
    while (clock.now() < deadline) {
        try {
            channel_ = ipc::Channel(ipc::MessageSocket::connect_to(socket_path_));
            ipc::Reply reply = channel_.call(message, descriptors);
            if (reply.error_code.empty())
                return Connected{reply.result.get<ipc::DeviceDescription>(), std::move(reply.descriptors)};
            reason = reply.error_message;
            if (ipc::error_code_named(reply.error_code) != std::errc::resource_unavailable_try_again) break;
        } catch (const std::system_error& error) {
            reason = error.what();  // no tapdisk listens yet, or this one has ended as well
        }
        std::this_thread::sleep_for(come_back_interval);
    }
    throw BackendGone("the tapdisk at " + socket_path_ + " went away, and none goes on with the rings: " + reason);
}

void TapdiskConnection::disconnect() {
    ipc::Disconnect message;
    message.connection = name_;
    try {
        call_or_throw(channel_, socket_path_, message);
    } catch (const BackendGone&) {
        // All is answered, and the next tapdisk waits for nothing.
        if (!was_local_) throw;
    }
}

bool TapdiskConnection::check() {
    answer_requests(channel_, socket_path_);
    return true;
}

}  // namespace blktap::replay
