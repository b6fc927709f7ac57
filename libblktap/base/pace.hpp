// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Pace: a rate limit for work that an untrusted party causes: a burst of steps at once, then one step in each interval.
//
// Tested by tests/unit/tapback/xenbus/reconnect_pace_test.cpp.
#pragma once

#include "libblktap/base/clock.hpp"

namespace blktap {

class Pace {
  public:
    /// `burst_steps`: at least 1.
    constexpr Pace(int burst_steps, Nanoseconds interval) noexcept : burst_(burst_steps), interval_(interval) {}

    /// Takes a step; false: none is available at `now`.
    bool take(Nanoseconds now) noexcept {
        if (next(now) > now) return false;
        used_until_ = (used_until_ > now ? used_until_ : now) + interval_;
        return true;
    }
    /// When take() will succeed: `now`, or later.
    Nanoseconds next(Nanoseconds now) const noexcept {
        const Nanoseconds earliest = used_until_ - interval_ * (burst_ - 1);
        return earliest > now ? earliest : now;
    }
    /// Makes the whole burst available again.
    void refill() noexcept { used_until_ = Nanoseconds{0}; }

  private:
    int burst_;
    Nanoseconds interval_;
    Nanoseconds used_until_{0};  ///< from when on the whole burst is available again
};

}  // namespace blktap
