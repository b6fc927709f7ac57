// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a process of a soak may use. The limits are far above what one needs, and far below what one has that leaks.
#pragma once

#include <sys/types.h>

namespace blktap::soak {

// Errors: throw Wrong: too many descriptors, or too much memory. A process that has ended has neither.
void check_tapback(pid_t pid, unsigned disks);
void check_tapdisk(pid_t pid);

}  // namespace blktap::soak
