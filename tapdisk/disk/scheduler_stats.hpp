// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Counters of a disk's Scheduler. They only grow; the control protocol's "stats" shows them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace blktap {

/// Turns that handed the kernel a write for which it may have had to allocate, by the time that io_submit() took.
struct AllocationStats {
    static constexpr std::array<std::uint64_t, 7> limits_us{20, 50, 100, 200, 500, 1000, 2000};

    std::array<std::uint64_t, limits_us.size() + 1> turns{};  ///< up to each limit; the last: beyond
    std::uint64_t longest_ns = 0;

    void note(std::uint64_t took_ns) noexcept {
        std::size_t index = 0;
        while (index < limits_us.size() && took_ns > limits_us[index] * 1000)
            ++index;
        ++turns[index];
        longest_ns = std::max(longest_ns, took_ns);
    }
};

struct SchedulerStats {
    std::uint64_t waited_for_range = 0;  ///< requests that overlapped an exclusive one
    std::uint64_t flushes_begun = 0;     ///< by the driver
    std::uint64_t flushes_ended = 0;     ///< well or not
    AllocationStats allocation;

    bool flushes() const noexcept { return flushes_begun != flushes_ended; }
};

}  // namespace blktap
