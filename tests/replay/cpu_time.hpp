// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CPU time of this process and of others.
#pragma once

#include <optional>
#include <sys/types.h>

#include "libblktap/base/clock.hpp"

namespace blktap::replay {

/// User and system time of `pid`, 0 for this process; nullopt when it cannot be known (gone, another pid namespace).
std::optional<Nanoseconds> cpu_time(pid_t pid) noexcept;

}  // namespace blktap::replay
