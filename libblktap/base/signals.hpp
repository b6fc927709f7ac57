// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The signals that end a program, and those that the kernel sends for a failed call.
//
// Tested by tests/replay/scripts/file-limit.replay and tests/control/storage_test.cpp.
#pragma once

#include <csignal>

#include "libblktap/base/unique_fd.hpp"

namespace blktap {

/// Ignores SIGXFSZ, so that a write beyond the file size limit (RLIMIT_FSIZE) fails with EFBIG. The signal would kill a
/// tapdisk, and so a guest's disk, for one request, or tapback for one record. Call at the beginning of main().
inline void survive_file_size_limit() noexcept {
    ::signal(SIGXFSZ, SIG_IGN);
}

/// Returns a descriptor that becomes readable on SIGTERM and SIGINT, for a daemon that ends through its event loop.
/// Both are blocked for every thread from now on. SIGPIPE and SIGXFSZ are ignored, so that no failed call kills the
/// daemon. Call before any thread is started. Errors: throws std::system_error (EMFILE).
UniqueFd open_end_signals();

}  // namespace blktap
