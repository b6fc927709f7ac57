// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The names of Linux's system calls, for people who read that a process made one it may not make.
//
// Tested by tests/unit/base/call_names_test.cpp.
#pragma once

namespace blktap {

/// Returns the name of the system call with this number on this architecture: "openat"; "unknown": the kernel's headers
/// did not have it when this was built.
const char* call_name(long number) noexcept;

}  // namespace blktap
