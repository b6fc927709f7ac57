// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Poller: how long a tapdisk that has run out of work looks for more before it sleeps. A wake-up costs two context
// switches; looking costs a processor. So the window grows while looking pays and shrinks to nothing while it does not:
// an idle disk never polls. And looking must not take the processor from others, least of all from the kernel thread
// that would bring the work: see the constants below, and docs/decisions/0010 for what was measured.
//
// Tested by tests/unit/tapdisk/poller_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "libblktap/base/clock.hpp"

namespace blktap {

class Poller {
  public:
    static constexpr Nanoseconds window_start = std::chrono::microseconds(2);
    /// How often to ask whether somebody else wanted the processor: a system call.
    static constexpr Nanoseconds ask_interval = std::chrono::milliseconds(1);
    /// So many times in a row the whole window passed and work came right after the sleep began: it needed this very
    /// processor, or is always too late.
    static constexpr int in_vain_max = 8;
    /// After either no look is worth trying for this long.
    static constexpr Nanoseconds rest = std::chrono::milliseconds(50);

    /// How many times the calling thread lost its processor to another since it began.
    using Preemptions = std::uint64_t() noexcept;
    static std::uint64_t preemptions_of_this_thread() noexcept;

    /// Looks at most `window_max` at a time; 0 turns polling off.
    Poller(const Clock& clock, Nanoseconds window_max, Preemptions& preemptions = preemptions_of_this_thread) noexcept
        : clock_(clock), window_max_(window_max), preemptions_(preemptions) {}

    /// Calls `work_waiting()` until it is true (returns true) or the window is over (false).
    template <class WorkWaiting>
    bool look(WorkWaiting work_waiting) noexcept {
        if (window_max_ <= Nanoseconds{0}) return false;
        const Nanoseconds began = clock_.now();
        if (began < resting_until_) return false;
        if (window_ > Nanoseconds{0} && began - asked_at_ > ask_interval && processor_wanted(began)) return false;
        Nanoseconds now = began;
        while (now - began < window_) {
            for (int i = 0; i < looks_per_clock_read; ++i) {
                if (work_waiting()) return hit();
                pause();
            }
            now = clock_.now();
        }
        ++misses_;
        slept_at_ = now;
        return false;
    }

    /// Work came after the sleep that look() allowed. Soon after: a longer look would have caught it. Late: looking was
    /// a waste.
    void woke() noexcept {
        if (slept_at_ == Nanoseconds{0}) return;
        const Nanoseconds now = clock_.now();
        const Nanoseconds slept = now - std::exchange(slept_at_, Nanoseconds{0});
        if (slept > window_max_) {
            in_vain_ = 0;
            window_ = window_ / 2 < window_start ? Nanoseconds{0} : window_ / 2;
        } else if (window_ < window_max_) {
            window_ = std::clamp(window_ * 2, std::min(window_start, window_max_), window_max_);
        } else if (++in_vain_ == in_vain_max) {
            stop_until(now + rest);
        }
    }

    Nanoseconds window() const noexcept { return window_; }
    std::uint64_t hits() const noexcept { return hits_; }
    std::uint64_t misses() const noexcept { return misses_; }

  private:
    static constexpr int looks_per_clock_read = 16;

    bool hit() noexcept {
        ++hits_;
        in_vain_ = 0;
        slept_at_ = Nanoseconds{0};
        return true;
    }
    /// Another process took this processor since the last time we asked.
    bool processor_wanted(Nanoseconds now) noexcept {
        const std::uint64_t before = std::exchange(preempted_, preemptions_());
        const bool asked_before = std::exchange(asked_at_, now) != Nanoseconds{0};
        if (!asked_before || preempted_ == before) return false;
        stop_until(now + rest);
        return true;
    }
    void stop_until(Nanoseconds time) noexcept {
        resting_until_ = time;
        window_ = Nanoseconds{0};
        in_vain_ = 0;
    }
    static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }

    const Clock& clock_;
    const Nanoseconds window_max_;
    Preemptions& preemptions_;
    Nanoseconds window_{0};
    Nanoseconds slept_at_{0};
    Nanoseconds resting_until_{0};
    Nanoseconds asked_at_{0};
    std::uint64_t preempted_ = 0;
    int in_vain_ = 0;
    std::uint64_t hits_ = 0;
    std::uint64_t misses_ = 0;
};

}  // namespace blktap
