// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connection: one frontend, connected: the hypervisor's handles, the mapped rings, the engine that serves them and the
// event channels that wake it. Made by "connect", destroyed when the frontend has left.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tapdisk/poller.hpp"
#include "tapdisk/request_engine.hpp"

namespace blktap {

class Connection {
  public:
    struct Options {
        ipc::ConnectArguments frontend;
        ring::DeviceRules rules;
        UniqueFd log_file;
        Nanoseconds poll_max{0};  ///< 0: no polling
    };

    /// Maps and binds everything. Errors: throws std::system_error whose text names the queue, page, grant or port;
    /// nothing stays mapped or bound.
    Connection(EventLoop& loop, IoQueue& io, Options options);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    /// The engine must be quiet().
    ~Connection();

    /// One turn of the engine, then, if there is nothing more to do, re-arms the frontends' wake-ups.
    EventLoop::Next turn() noexcept;

    RequestEngine& engine() noexcept { return *engine_; }
    const RequestEngine& engine() const noexcept { return *engine_; }
    const ipc::ConnectArguments& frontend() const noexcept { return frontend_; }
    const Poller& poller() const noexcept { return poller_; }
    std::uint64_t wakeups() const noexcept { return wakeups_; }

  private:
    void note_events() noexcept;
    void take_events() noexcept;
    void unmask() noexcept;

    EventLoop& loop_;
    ipc::ConnectArguments frontend_;
    xen::EventChannelHandle events_;
    xen::GrantTable grants_;
    std::optional<RequestEngine> engine_;
    Poller poller_;
    bool events_waiting_ = false;
    std::vector<xen::Port> masked_;  ///< channels that fired and were not unmasked
    std::uint64_t wakeups_ = 0;
    std::optional<EventLoop::Watch> watch_;
};

}  // namespace blktap
