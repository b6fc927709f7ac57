// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Shared by the tests of ring-replay: the simulated machine, the test as its guest, and a backend in memory.
#pragma once

#include "tests/fakexen/control.hpp"
#include "tests/replay/session.hpp"
#include "tests/replay/target.hpp"
#include "tests/unit/replay/backend/memory_backend.hpp"

namespace blktap::replay {

struct Machine {
    explicit Machine(std::uint64_t size_sectors = 2048) : backend(size_sectors) {}

    fakexen::World world{};
    fakexen::ActAs us{MemoryBackend::guest};
    MemoryBackend backend;
    MonotonicClock clock{};

    static FrontendOptions frontend() {
        FrontendOptions options;
        options.domain = MemoryBackend::guest;
        options.backend_domain = MemoryBackend::domain;
        return options;
    }
    /// A target for commands' parts that take one; nothing is ever connected to through it.
    static Target target() {
        Target target;
        target.frontend = frontend();
        target.timeout = std::chrono::seconds(10);
        return target;
    }
};

}  // namespace blktap::replay
