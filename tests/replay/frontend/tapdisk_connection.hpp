// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskConnection: guest and controller in one, over a tapdisk's control socket (docs/control-protocol.md). Of the
// protocol it needs only "connect" and "disconnect", and for local rings, whose tapdisk may die, "adopt": how a program
// comes back to the next one.
#pragma once

#include <string>

#include "libblktap/base/clock.hpp"
#include "libblktap/ipc/channel.hpp"
#include "tests/replay/frontend/connection.hpp"

namespace blktap::replay {

class TapdiskConnection final : public Connection {
  public:
    /// How long a local ring waits for the next tapdisk.
    static constexpr Nanoseconds usual_patience = std::chrono::seconds(10);
    /// Errors: throws std::system_error naming the socket.
    /// `name`: of the connection, where several are connected to one disk.
    explicit TapdiskConnection(std::string socket_path, std::string name = {}, Nanoseconds patience = usual_patience);

    Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) override;
    std::optional<Connected> come_back(const ipc::ConnectArguments& rings,
                                       const std::vector<int>& descriptors) override;
    void disconnect() override;
    int fd() const noexcept override { return channel_.fd(); }
    bool check() override;
    std::optional<pid_t> backend_pid() const override { return channel_.peer_pid(); }

  private:
    std::string socket_path_;
    std::string name_;
    const Nanoseconds patience_;
    bool was_local_ = false;
    ipc::Channel channel_;
};

/// Sends a message and returns the reply, which is no error.
/// Errors: throws std::runtime_error with the tapdisk's reason for an error reply, BackendGone, or std::system_error.
ipc::Reply call_or_throw(ipc::Channel& channel, const std::string& socket_path, const std::string& request,
                         const ipc::Json& arguments, const std::vector<int>& descriptors);
template <ipc::DeclaredMessage M>
ipc::Reply call_or_throw(ipc::Channel& channel, const std::string& socket_path, const M& message,
                         const std::vector<int>& descriptors = {}) {
    return call_or_throw(channel, socket_path, M::name, message, descriptors);
}
/// Refuses whatever the tapdisk asked its controller for, without waiting: there are no files to be had here.
/// Errors: throws BackendGone, or std::system_error.
void answer_requests(ipc::Channel& channel, const std::string& socket_path);

}  // namespace blktap::replay
