// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The process's CPU clock counts nanoseconds; /proc/PID/stat would count 10 ms ticks.
#include "tests/replay/cpu_time.hpp"

#include <ctime>

namespace blktap::replay {

std::optional<Nanoseconds> cpu_time(pid_t pid) noexcept {
    clockid_t clock = 0;
    timespec time{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return std::nullopt;
    return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

}  // namespace blktap::replay
