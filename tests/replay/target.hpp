// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The target of every command of ring-replay: which backend, and as which domain.
#pragma once

#include <memory>
#include <string>

#include "tests/replay/frontend/xenstore_connection.hpp"
#include "tests/replay/load/pump.hpp"

namespace blktap::replay {

struct Target {
    std::string tapdisk{};       ///< a tapdisk's control socket, or
    std::string name{};          ///< of the connection to it
    XenstoreOptions xenstore{};  ///< a frontend's directory
    FrontendOptions frontend{};
    Nanoseconds timeout = std::chrono::seconds(30);
    int interrupt_fd = -1;

    /// Errors: throws std::system_error; std::runtime_error unless there is one way to a backend.
    std::unique_ptr<Connection> open() const;
};

}  // namespace blktap::replay
