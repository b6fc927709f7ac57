// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Clock: where time comes from. Production uses MonotonicClock; tests turn a ManualClock by hand, so nothing in a test
// waits for the wall clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace blktap {

using Nanoseconds = std::chrono::nanoseconds;

class Clock {
  public:
    virtual ~Clock() = default;
    /// Time since an arbitrary fixed point; never goes back.
    virtual Nanoseconds now() const noexcept = 0;
};

class MonotonicClock final : public Clock {
  public:
    Nanoseconds now() const noexcept override { return std::chrono::steady_clock::now().time_since_epoch(); }
};

class ManualClock final : public Clock {
  public:
    Nanoseconds now() const noexcept override { return now_; }
    void advance(Nanoseconds by) noexcept { now_ += by; }

  private:
    Nanoseconds now_{0};
};

}  // namespace blktap
