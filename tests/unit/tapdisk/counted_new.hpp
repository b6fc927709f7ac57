// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Replaces operator new for the whole test program by one that counts while it is told to, in all threads.
#pragma once

#include <atomic>
#include <cstdint>

namespace blktap::testing {

extern std::atomic<bool> counting;
extern std::atomic<std::uint64_t> allocations;

}  // namespace blktap::testing
