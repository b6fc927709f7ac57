// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connection: the interface that connects a frontend's rings to a backend and notices the backend's end. A tapdisk's
// control socket is one implementation (tapdisk_connection.hpp), xenstore another.
#pragma once

#include <optional>
#include <sys/types.h>

#include "tests/replay/frontend/frontend.hpp"

namespace blktap::replay {

/// What a backend that serves our rings has told.
struct Connected {
    ipc::DeviceDescription device;
    std::vector<UniqueFd> descriptors{};  ///< for the frontend's host
};

class Connection {
  public:
    virtual ~Connection() = default;
    /// Waits until the backend can be connected to, and returns the wishes with what it decides about them.
    /// Errors: throws std::runtime_error for what it does not offer, Failure when it offers nothing in time.
    virtual FrontendOptions prepare(const FrontendOptions& wishes) { return wishes; }
    /// Hands the rings to the backend, and descriptors where rings have such; it serves them on return. May be called
    /// again after disconnect() and prepare(). Errors: throws std::runtime_error with the backend's reason.
    virtual Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) = 0;
    /// The backend is gone (BackendGone): hands the same rings to the one that goes on in its place. Returns nothing if
    /// there is no such thing. Errors: throws BackendGone: none came in time, or it does not know the rings.
    virtual std::optional<Connected> come_back(const ipc::ConnectArguments&, const std::vector<int>&) {
        return std::nullopt;
    }
    /// Returns when the backend has let go of every page. Errors: throws Failure.
    virtual void disconnect() = 0;
    /// Readable when check() has something to see; -1: never.
    virtual int fd() const noexcept = 0;
    /// False, once: the backend asks us to let the disk go. Errors: throws BackendGone.
    [[nodiscard]] virtual bool check() = 0;
    /// The process that serves us, where that can be known.
    virtual std::optional<pid_t> backend_pid() const = 0;
};

}  // namespace blktap::replay
