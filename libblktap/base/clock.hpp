// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Clock: where time comes from. Production uses MonotonicClock; tests turn a ManualClock by hand, so nothing in a test
// waits for the wall clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace blktap {

using Nanoseconds = std::chrono::nanoseconds;

class Clock {
  public:
    virtual ~Clock() = default;
    /// Time since an arbitrary fixed point; never goes back. Do not call it for each small step: it is a system call
    /// where the kernel cannot keep its clock in user memory, as in a paravirtualised dom0 (clock source "xen").
    virtual Nanoseconds now() const noexcept = 0;
    /// now() as of the kernel's last tick, some milliseconds ago at most. Never a system call.
    virtual Nanoseconds coarse() const noexcept { return now(); }
};

class MonotonicClock final : public Clock {
  public:
    Nanoseconds now() const noexcept override { return read(CLOCK_MONOTONIC); }
    Nanoseconds coarse() const noexcept override { return read(CLOCK_MONOTONIC_COARSE); }

  private:
    static Nanoseconds read(clockid_t clock) noexcept {
        timespec time{};
        ::clock_gettime(clock, &time);
        return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
    }
};

class ManualClock final : public Clock {
  public:
    Nanoseconds now() const noexcept override { return now_; }
    void advance(Nanoseconds by) noexcept { now_ += by; }

  private:
    Nanoseconds now_{0};
};

}  // namespace blktap
