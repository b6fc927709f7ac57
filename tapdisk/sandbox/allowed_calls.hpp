// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The system calls of a tapdisk in its sandbox. It has its control socket, its logs, the handles of Xen; files of
// images come to it as descriptors. So it opens nothing, connects to nothing, starts no process and signals none.
//
// Tested by tests/unit/tapdisk/sandbox/call_filter_test.cpp, tests/control/sandbox/sandbox_test.cpp.
#pragma once

#include <sys/types.h>
#include <vector>

#include "tapdisk/sandbox/call_filter.hpp"

namespace blktap::sandbox {

/// `self`: this process as it knows itself, which abort() needs.
std::vector<AllowedCall> allowed_calls(pid_t self);

}  // namespace blktap::sandbox
