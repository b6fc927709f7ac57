// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Poller: how long a tapdisk that has run out of work looks for more before it sleeps. A wake-up costs two context
// switches; looking costs a processor. The window grows while looking pays and shrinks to nothing while it does not, so
// an idle disk never polls. Off unless --poll-us is given (docs/decisions/0010).
//
// Tested by tests/unit/tapdisk/poller_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "libblktap/base/clock.hpp"

namespace blktap {

class Poller {
  public:
    static constexpr Nanoseconds window_start{2000};

    /// Looks at most `window_max` at a time; 0 turns polling off.
    Poller(const Clock& clock, Nanoseconds window_max) noexcept : clock_(clock), window_max_(window_max) {}

    /// Calls `work_waiting()` until it is true (returns true) or the window is over (false).
    template <class WorkWaiting>
    bool look(WorkWaiting work_waiting) noexcept {
        if (window_max_ <= Nanoseconds{0}) return false;
        const Nanoseconds began = clock_.now();
        Nanoseconds now = began;
        while (now - began < window_) {
            for (int i = 0; i < looks_per_clock_read; ++i) {
                if (work_waiting()) {
                    ++hits_;
                    slept_at_ = Nanoseconds{0};
                    return true;
                }
                pause();
            }
            now = clock_.now();
        }
        slept_at_ = now;
        ++misses_;
        return false;
    }

    /// Work came after the sleep that look() allowed. Soon after: a longer look would have caught it. Late: looking was
    /// a waste.
    void woke() noexcept {
        if (slept_at_ == Nanoseconds{0}) return;
        const Nanoseconds slept = clock_.now() - slept_at_;
        slept_at_ = Nanoseconds{0};
        if (slept <= window_max_) {
            window_ = std::clamp(window_ * 2, window_start, window_max_);
        } else {
            window_ = window_ / 2 < window_start ? Nanoseconds{0} : window_ / 2;
        }
    }

    Nanoseconds window() const noexcept { return window_; }
    std::uint64_t hits() const noexcept { return hits_; }
    std::uint64_t misses() const noexcept { return misses_; }

  private:
    static constexpr int looks_per_clock_read = 16;
    static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }

    const Clock& clock_;
    const Nanoseconds window_max_;
    Nanoseconds window_{0};
    Nanoseconds slept_at_{0};
    std::uint64_t hits_ = 0;
    std::uint64_t misses_ = 0;
};

}  // namespace blktap
