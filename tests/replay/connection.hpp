// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connection: how a frontend's rings reach a backend and how we learn that it is gone. A seam: a tapdisk's control
// socket is one way (tapdisk_connection.hpp), xenstore another.
#pragma once

#include <optional>
#include <sys/types.h>

#include "libblktap/ipc/messages.hpp"

namespace blktap::replay {

class Connection {
  public:
    virtual ~Connection() = default;
    /// Hands the rings to the backend; it serves them on return. May be called again after disconnect().
    /// Errors: throws std::runtime_error with the backend's reason.
    virtual ipc::DeviceDescription connect(const ipc::ConnectArguments& rings) = 0;
    /// Returns when the backend has let go of every page. Errors: throws Failure.
    virtual void disconnect() = 0;
    /// Readable when check() has something to see; -1: never.
    virtual int fd() const noexcept = 0;
    /// Errors: throws BackendGone.
    virtual void check() = 0;
    /// The process that serves us, where that can be known.
    virtual std::optional<pid_t> backend_pid() const = 0;
};

}  // namespace blktap::replay
