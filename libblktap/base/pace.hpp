// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Pace: how often something may be done for somebody who need not mean well: a burst at once, and then one step in each
// interval.
//
// Tested by tests/unit/tapback/reconnect_pace_test.cpp.
#pragma once

#include "libblktap/base/clock.hpp"

namespace blktap {

class Pace {
  public:
    /// `burst_steps`: at least 1.
    constexpr Pace(int burst_steps, Nanoseconds interval) noexcept : burst_(burst_steps), interval_(interval) {}

    /// Takes one step if there is one to be had.
    bool take(Nanoseconds now) noexcept {
        if (next(now) > now) return false;
        used_until_ = (used_until_ > now ? used_until_ : now) + interval_;
        return true;
    }
    /// When take() will have a step: `now`, or later.
    Nanoseconds next(Nanoseconds now) const noexcept {
        const Nanoseconds earliest = used_until_ - interval_ * (burst_ - 1);
        return earliest > now ? earliest : now;
    }
    /// The whole burst is to be had again.
    void refill() noexcept { used_until_ = Nanoseconds{0}; }

  private:
    int burst_;
    Nanoseconds interval_;
    Nanoseconds used_until_{0};  ///< when all steps that were taken are paid for
};

}  // namespace blktap
