// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connection: one connected frontend: its transport, which has the rings and wakes the loop, and the client of the disk
// that serves the rings. Made by "connect", destroyed when the frontend has left.
//
// Tested by tests/unit/tapdisk/ring/connection_test.cpp.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/messages.hpp"
#include "libblktap/xen/xen_handles.hpp"
#include "tapdisk/ring/ring_client.hpp"
#include "tapdisk/ring/ring_transport.hpp"

namespace blktap {

/// Which log is that of these rings, on this host. Errors: throws std::system_error.
LogIdentity identity_of(const ipc::ConnectArguments& frontend);

class Connection {
  public:
    struct Options {
        ipc::ConnectArguments frontend;
        ring::DeviceRules rules;
        UniqueFd log_file;
        UniqueFd memory{};         ///< for local rings
        bool adopt = false;        ///< the log is that of a tapdisk that died with these rings
        bool recoverable = false;  ///< a controller keeps the log's file
    };

    /// Maps and binds everything. `handles`: of Xen; it outlives this. Errors: throws std::system_error, as the
    /// transport's constructor, or as RecoveryLog::adopt(); nothing stays mapped or bound.
    Connection(EventLoop& loop, Scheduler& scheduler, xen::KeptHandles& handles, Options options);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    /// The client must be quiet().
    ~Connection();

    /// Called before the loop sleeps: takes the events that were noted, lets their channels fire again and asks the
    /// frontend for a wake-up. Returns true if a request is there already: do not sleep.
    bool before_sleep() noexcept;

    /// Descriptors for the peer, once: see RingTransport.
    std::vector<UniqueFd> take_peer_descriptors() { return transport_->take_peer_descriptors(); }

    RingClient& client() noexcept { return *client_; }
    const RingClient& client() const noexcept { return *client_; }
    const ipc::ConnectArguments& frontend() const noexcept { return frontend_; }
    /// Whether another tapdisk could adopt the rings.
    bool recoverable() const noexcept { return recoverable_; }
    std::uint64_t wakeups() const noexcept { return wakeups_; }

  private:
    void note_events() noexcept;
    void take_events() noexcept;

    ipc::ConnectArguments frontend_;
    bool recoverable_;
    std::unique_ptr<RingTransport> transport_;
    std::optional<RingClient> client_;
    bool events_waiting_ = false;
    std::uint64_t wakeups_ = 0;
    std::optional<EventLoop::Watch> watch_;
};

}  // namespace blktap
