// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How often a Vbd looks again at what it waits for, and how long at what is over. Tested by
// tests/unit/tapdisk/full_disk_test.cpp.
#pragma once

#include "libblktap/base/clock.hpp"

namespace blktap {

/// Parked requests are tried again after the first, then after twice as long each time, up to the second.
inline constexpr Nanoseconds retry_delay_min = std::chrono::milliseconds(100);
inline constexpr Nanoseconds retry_delay_max = std::chrono::seconds(5);

/// The same for what the kernel or the storage refuses for now (EAGAIN), which costs nothing to keep.
inline constexpr Nanoseconds kernel_delay_min = std::chrono::milliseconds(10);
inline constexpr Nanoseconds kernel_delay_max = std::chrono::seconds(1);
/// After so long it is a problem that the operator is told of.
inline constexpr Nanoseconds refused_problem_after = std::chrono::seconds(5);

/// A problem is over when it has stayed away for this long: while a guest fills the disk again and again, it stays.
inline constexpr Nanoseconds problem_quiet = std::chrono::seconds(5);

}  // namespace blktap
