// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// IdleTrim: gives memory that connections do not need back to the kernel, some time after the last request.
//
// Tested by tests/unit/tapdisk/idle_test.cpp.
#pragma once

#include <cstdint>

#include "libblktap/base/event_loop.hpp"
#include "tapdisk/disk/scheduler.hpp"
#include "tapdisk/ring/connections.hpp"

namespace blktap {

class IdleTrim {
  public:
    /// All references outlive this.
    IdleTrim(EventLoop& loop, const Scheduler& scheduler, const Connections& connections)
        : scheduler_(scheduler), connections_(connections), timer_(loop, [this] { look(); }) {}

    /// Called each turn.
    void turn() {
        if (scheduler_.taken() != taken_before_ && !timer_.armed()) arm();
    }

  private:
    void arm();
    void look();

    const Scheduler& scheduler_;
    const Connections& connections_;
    EventLoop::Timer timer_;
    std::uint64_t taken_before_ = 0;  ///< requests, when the timer was armed
};

}  // namespace blktap
