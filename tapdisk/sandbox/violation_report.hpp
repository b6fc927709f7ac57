// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Names a forbidden system call before it ends this process: for those who look for a call that the list lacks.
//
// Tested by tests/unit/tapdisk/sandbox/sandbox_test.cpp.
#pragma once

namespace blktap::sandbox {

/// From now on a trapped call is written to standard error, and then ends the process with SIGSYS, as without this.
void report_violations() noexcept;

}  // namespace blktap::sandbox
