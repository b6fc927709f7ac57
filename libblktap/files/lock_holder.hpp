// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Finds the processes that hold a lock on a file. The kernel names no process for a lock that belongs to an open file
// description, but /proc/PID/fdinfo lists the locks of each descriptor.
//
// Tested by tests/unit/files/image_lock_test.cpp.
#pragma once

#include <string>
#include <sys/types.h>

namespace blktap {

/// Returns the name of the file of `fd` in the kernel's list of locks: device and inode. Exact only while `fd` itself
/// holds a lock.
std::string name_among_locks(int fd);

/// Names the processes that hold a lock on the byte at `offset` of a file, for an operator: "qemu-img (pid 123)",
/// several (a descriptor can be shared) joined by "and"; "another process (unknown)" if none is found: it may belong to
/// another user, run in another PID namespace, or on another host.
std::string find_lock_holders(const std::string& name_among_locks, off_t offset);

}  // namespace blktap
