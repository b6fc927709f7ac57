// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ReconnectPace: how often one guest may make us begin again. An offer is a transaction with xenstored, a connection
// maps rings and starts them: a guest that closes and opens its disk without end would have all of tapback's time. A
// guest with a reason (firmware, a kernel, kexec, a driver that is loaded again) stays far below the limit.
//
// Tested by tests/unit/tapback/reconnect_pace_test.cpp.
#pragma once

#include "libblktap/base/clock.hpp"

namespace blktap::tapback {

class ReconnectPace {
  public:
    /// Steps that may follow each other at once. Each connection is two: the offer, and the connecting.
    static constexpr int burst = 20;
    /// After a burst, one step in this time.
    static constexpr Nanoseconds interval = std::chrono::milliseconds(500);

    /// Takes one step if there is one to be had.
    bool take(Nanoseconds now) noexcept {
        const Nanoseconds begin = used_until_ > now ? used_until_ : now;
        if (begin - now > interval * (burst - 1)) return false;
        used_until_ = begin + interval;
        return true;
    }

  private:
    Nanoseconds used_until_{0};  ///< when all steps that were taken are paid for
};

}  // namespace blktap::tapback
