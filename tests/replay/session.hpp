// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Session: a frontend that is connected to a backend, from construction to destruction. On every way out it disconnects
// before the pages go away.
#pragma once

#include "libblktap/base/clock.hpp"
#include "tests/replay/frontend/connection.hpp"
#include "tests/replay/frontend/frontend.hpp"

namespace blktap::replay {

class Session {
  public:
    /// Connects. `interrupt_fd` becomes readable when the user wants to stop (-1: never).
    /// Lifetime: `connection` must outlive the session. Errors: what Frontend and Connection throw.
    Session(Connection& connection, const FrontendOptions& options, int interrupt_fd = -1);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    /// Disconnects; an error is lost here, so call disconnect() where it matters.
    ~Session();

    /// Errors: throws Failure.
    void disconnect();

    enum class Wake { event, timeout, interrupted };
    /// Sleeps until the backend wakes us, at most `limit` (0 and less: only looks). Acknowledges the event. Says
    /// `interrupted` once for the user, and once when the backend asks us to let the disk go. Comes back by itself
    /// where another backend goes on with the rings of one that is gone. Errors: throws BackendGone.
    Wake wait(Nanoseconds limit);

    Frontend& frontend() noexcept { return frontend_; }
    Connection& connection() noexcept { return connection_; }
    const ipc::DeviceDescription& device() const noexcept { return device_; }

  private:
    enum class Seen { nothing, wants_disk, another };
    /// Comes back where another backend goes on.
    Seen look_at_backend();

    Connection& connection_;
    int interrupt_fd_;
    Frontend frontend_;
    ipc::DeviceDescription device_;
    bool connected_ = false;
};

}  // namespace blktap::replay
