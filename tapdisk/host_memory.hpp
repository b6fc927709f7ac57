// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Memory of a process that others need to get memory free: when the host writes dirty pages to a disk that a tapdisk
// serves, that tapdisk must get on without waiting for those very pages. So its memory stays resident, and what it
// still allocates does not wait for I/O.
//
// Tested by tests/unit/tapdisk/host_memory_test.cpp.
#pragma once

#include <system_error>

namespace blktap {

struct HostMemory {
    std::error_code lock;        ///< why memory is not locked; none: it is
    std::error_code io_flusher;  ///< why allocations may wait for I/O; none: they do not
};

/// Locks what this process has and will have in memory, a page when it is first touched, the code at once; and marks
/// this thread, and those that it starts, as one that I/O waits for (PR_SET_IO_FLUSHER). What is not allowed is logged
/// in one line, and the process goes on without. Call before threads start.
HostMemory claim_host_memory() noexcept;

}  // namespace blktap
