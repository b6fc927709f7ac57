// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connection: one frontend, connected: the hypervisor's handles, the mapped rings, the client of the disk that serves
// them and the event channels that wake it. Made by "connect", destroyed when the frontend has left.
//
// Tested by tests/unit/tapdisk/connection_test.cpp.
#pragma once

#include <optional>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tapdisk/ring/ring_client.hpp"

namespace blktap {

class Connection {
  public:
    struct Options {
        ipc::ConnectArguments frontend;
        ring::DeviceRules rules;
        UniqueFd log_file;
    };

    /// Maps and binds everything. Errors: throws std::system_error whose text names the queue, page, grant or port;
    /// nothing stays mapped or bound.
    Connection(EventLoop& loop, Scheduler& scheduler, Options options);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    /// The client must be quiet().
    ~Connection();

    /// Before the loop sleeps: takes the events that were announced, lets their channels fire again and asks the
    /// frontend to wake us. True: a request is there already, do not sleep.
    bool before_sleep() noexcept;

    RingClient& client() noexcept { return *client_; }
    const RingClient& client() const noexcept { return *client_; }
    const ipc::ConnectArguments& frontend() const noexcept { return frontend_; }
    std::uint64_t wakeups() const noexcept { return wakeups_; }

  private:
    void note_events() noexcept;
    void take_events() noexcept;
    void unmask() noexcept;

    ipc::ConnectArguments frontend_;
    xen::EventChannelHandle events_;
    xen::GrantTable grants_;
    std::optional<RingClient> client_;
    bool events_waiting_ = false;
    std::vector<xen::Port> masked_;  ///< channels that fired and were not unmasked
    std::uint64_t wakeups_ = 0;
    std::optional<EventLoop::Watch> watch_;
};

}  // namespace blktap
