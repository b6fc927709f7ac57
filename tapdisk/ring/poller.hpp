// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Poller: how long a tapdisk that has run out of work polls for more before it sleeps. A wake-up costs two context
// switches; polling costs a processor. So the window grows while polling pays and shrinks to zero while it does not: an
// idle disk never polls. Polling must not take the processor from others, least of all from the kernel thread that
// would bring the work: see the constants below, and docs/decisions/0010 for measurements.
//
// Tested by tests/unit/tapdisk/ring/poller_test.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "libblktap/base/clock.hpp"

namespace blktap {

class Poller {
  public:
    /// What the poller waits for. Both have a window of their own: a guest may send its next requests within
    /// microseconds while the disk takes hundreds, or the other way round.
    enum class For { guest, disk };

    static constexpr Nanoseconds window_start = std::chrono::microseconds(2);
    /// How often to check whether another thread wanted the processor: the check is a system call.
    static constexpr Nanoseconds ask_interval = std::chrono::milliseconds(1);
    /// How often in a row the largest window may pass in vain, with work right after the sleep began: then the work
    /// needs this very processor, or always comes too late.
    static constexpr int in_vain_max = 8;
    /// How long not to poll after that.
    static constexpr Nanoseconds rest = std::chrono::milliseconds(50);
    /// After a long sleep with a window of zero this many sleeps are not measured, after each further one about twice
    /// as many, up to the maximum: reading the clock may be a system call.
    static constexpr int sleeps_unmeasured_first = 3;
    static constexpr int sleeps_unmeasured_max = 31;
    /// How long to leave the processor to a thread that wanted it. Short: often it is the kernel thread that brings the
    /// work.
    static constexpr Nanoseconds rest_for_others = std::chrono::milliseconds(2);

    /// Returns how often the calling thread has been preempted.
    using Preemptions = std::uint64_t() noexcept;
    static std::uint64_t preemptions_of_this_thread() noexcept;

    /// Polls for at most `window_max` at a time; 0 turns polling off.
    Poller(const Clock& clock, Nanoseconds window_max, Preemptions& preemptions = preemptions_of_this_thread) noexcept
        : clock_(clock), window_max_(window_max), preemptions_(preemptions) {}

    /// Calls `work_waiting()` until it returns true, then returns true, or until the window for `what` is over, then
    /// returns false.
    template <class WorkWaiting>
    bool look(For what, WorkWaiting work_waiting) noexcept {
        if (window_max_ <= Nanoseconds{0}) return false;
        // The coarse clock can only tell that a rest is long over: its tick is longer than a short rest.
        if (clock_.coarse() < resting_until_ && clock_.now() < resting_until_) return false;
        looked_for_ = &windows_[static_cast<std::size_t>(what)];
        const Nanoseconds length = looked_for_->length;
        if (length == Nanoseconds{0}) {
            ++misses_;
            if (looked_for_->unmeasured_left == 0) {
                slept_at_ = clock_.now();
            } else {
                --looked_for_->unmeasured_left;
            }
            return false;
        }
        const Nanoseconds began = clock_.now();
        if (began - asked_at_ > ask_interval && processor_wanted(began)) return false;
        Nanoseconds now = began;
        while (now - began < length) {
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

    /// Called when work came after a sleep. After a short sleep the window grows: longer polling would have caught the
    /// work. After a long sleep it shrinks.
    void woke() noexcept {
        if (slept_at_ == Nanoseconds{0}) return;
        const Nanoseconds now = clock_.now();
        const Nanoseconds slept = now - std::exchange(slept_at_, Nanoseconds{0});
        Nanoseconds& length = looked_for_->length;
        if (slept > window_max_) {
            looked_for_->in_vain = 0;
            length = length / 2 < window_start ? Nanoseconds{0} : length / 2;
            if (length == Nanoseconds{0}) looked_for_->measure_less();
        } else if (length < window_max_) {
            looked_for_->unmeasured = 0;
            length = std::clamp(length * 2, std::min(window_start, window_max_), window_max_);
        } else if (++looked_for_->in_vain == in_vain_max) {
            stop_until(now + rest);
        }
    }

    Nanoseconds window(For what) const noexcept { return windows_[static_cast<std::size_t>(what)].length; }
    std::uint64_t hits() const noexcept { return hits_; }
    std::uint64_t misses() const noexcept { return misses_; }

  private:
    static constexpr int looks_per_clock_read = 16;

    struct Window {
        Nanoseconds length{0};
        int in_vain = 0;
        int unmeasured = 0;       ///< number of sleeps between two that are measured
        int unmeasured_left = 0;  ///< sleeps until the next one is measured

        void measure_less() noexcept {
            unmeasured = std::clamp(unmeasured * 2 + 1, sleeps_unmeasured_first, sleeps_unmeasured_max);
            unmeasured_left = unmeasured;
        }
    };

    bool hit() noexcept {
        ++hits_;
        looked_for_->in_vain = 0;
        slept_at_ = Nanoseconds{0};
        return true;
    }
    /// Whether this thread was preempted since the last check.
    bool processor_wanted(Nanoseconds now) noexcept {
        const std::uint64_t before = std::exchange(preempted_, preemptions_());
        const bool asked_before = std::exchange(asked_at_, now) != Nanoseconds{0};
        if (!asked_before || preempted_ == before) return false;
        stop_until(now + rest_for_others);
        return true;
    }
    void stop_until(Nanoseconds time) noexcept {
        resting_until_ = time;
        windows_ = {};
    }
    static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }

    const Clock& clock_;
    const Nanoseconds window_max_;
    Preemptions& preemptions_;
    std::array<Window, 2> windows_{};
    Window* looked_for_ = &windows_[0];
    Nanoseconds slept_at_{0};
    Nanoseconds resting_until_{0};
    Nanoseconds asked_at_{0};
    std::uint64_t preempted_ = 0;
    std::uint64_t hits_ = 0;
    std::uint64_t misses_ = 0;
};

}  // namespace blktap
