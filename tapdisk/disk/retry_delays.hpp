// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How often a disk retries requests that wait, and when a problem begins and is over. Tested by
// tests/unit/tapdisk/disk/full_disk_test.cpp.
#pragma once

#include "libblktap/base/clock.hpp"

namespace blktap {

/// Parked requests are retried after the first delay, then after twice as long each time, up to the second.
inline constexpr Nanoseconds retry_delay_min = std::chrono::milliseconds(100);
inline constexpr Nanoseconds retry_delay_max = std::chrono::seconds(5);

/// The same for operations that the kernel or the storage refuses for now (EAGAIN).
inline constexpr Nanoseconds kernel_delay_min = std::chrono::milliseconds(10);
inline constexpr Nanoseconds kernel_delay_max = std::chrono::seconds(1);
/// After this time such refusals are a problem that is reported to the operator.
inline constexpr Nanoseconds refused_problem_after = std::chrono::seconds(5);

/// A problem is over once it has stayed away for this long, so a guest that fills the disk again and again has one
/// problem.
inline constexpr Nanoseconds problem_quiet = std::chrono::seconds(5);

}  // namespace blktap
