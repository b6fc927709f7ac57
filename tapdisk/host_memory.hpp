// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Memory of a process that the host needs to free memory: when the host writes dirty pages to a disk that a tapdisk
// serves, that tapdisk must not wait for those very pages. So its memory stays resident, and its allocations do not
// wait for I/O.
//
// Tested by tests/unit/tapdisk/host_memory_test.cpp.
#pragma once

#include <system_error>

namespace blktap {

struct HostMemory {
    std::error_code lock;        ///< why memory could not be locked; no error: it is locked
    std::error_code io_flusher;  ///< why allocations may wait for I/O; no error: they do not
};

/// Whether this process keeps the rights that it has. Without them only the limit decides what may be locked.
enum class Rights : bool { stay, go };

/// Locks the present and future memory of this process, each page when it is first touched, the code at once; and marks
/// this thread, and threads that it starts, as ones that I/O depends on (PR_SET_IO_FLUSHER). If a step is not
/// permitted, one line is logged, and the process runs without it. Call before threads start.
HostMemory claim_host_memory(Rights rights = Rights::stay) noexcept;

}  // namespace blktap
