// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Signals that the kernel sends for a failed call.
//
// Tested by tests/replay/scripts/file-limit.replay and tests/control/storage_test.cpp.
#pragma once

#include <csignal>

namespace blktap {

/// Ignores SIGXFSZ, so that a write beyond the file size limit (RLIMIT_FSIZE) fails with EFBIG. The signal would kill a
/// tapdisk, and so a guest's disk, for one request, or tapback for one record. Call at the beginning of main().
inline void survive_file_size_limit() noexcept {
    ::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace blktap
