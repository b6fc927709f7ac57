// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a program does about the signals that the kernel sends for a failed call.
//
// Tested by tests/replay/scripts/file-limit.replay and tests/control/storage_test.cpp.
#pragma once

#include <csignal>

namespace blktap {

/// A write behind the file size limit (RLIMIT_FSIZE) then fails with EFBIG, where SIGXFSZ would kill the process: a
/// tapdisk with a whole guest's disk for one request, a tapback for one record. For the beginning of main().
inline void survive_file_size_limit() noexcept {
    ::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace blktap
