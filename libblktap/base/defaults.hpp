// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Defaults of tapdisk's options that tapback states too, because it hands them on; neither includes the other.
#pragma once

#include <cstdint>

namespace blktap {

/// --poll-us: never. On a quiet machine looking costs requests and processor time (docs/decisions/0010).
inline constexpr unsigned default_poll_us = 0;

/// What the tables of a disk's images may take in memory together: enough for disks of 16 TiB.
inline constexpr std::uint64_t default_memory_budget_bytes = 256ULL << 20;

}  // namespace blktap
