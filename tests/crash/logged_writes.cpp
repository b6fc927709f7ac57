// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Blocking writes of a crash checker, into the log of its CrashKernel.
#include <cerrno>
#include <fcntl.h>
#include <sys/syscall.h>

#include "tests/crash/crash_kernel.hpp"

using blktap::testing::CrashKernel;

// What the driver writes as plain code on a worker, here on this thread, belongs into the log as well.
extern "C" ssize_t pwrite(int fd, const void* data, std::size_t length, off_t offset) {
    const long written = ::syscall(SYS_pwrite64, fd, data, length, offset);
    CrashKernel* const kernel = CrashKernel::current();
    if (kernel != nullptr && written == static_cast<long>(length)) {
        kernel->note_write(fd, {static_cast<const std::byte*>(data), length}, static_cast<std::uint64_t>(offset));
    }
    return written;
}
extern "C" int fdatasync(int fd) {
    const auto result = static_cast<int>(::syscall(SYS_fdatasync, fd));
    if (CrashKernel::current() != nullptr) CrashKernel::current()->note_sync(fd);
    return result;
}
// Zeros that nobody writes would not be in the log: the driver must write them.
extern "C" int fallocate(int fd, int mode, off_t offset, off_t length) {
    if (CrashKernel::current() != nullptr && (mode & FALLOC_FL_ZERO_RANGE) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, length));
}
