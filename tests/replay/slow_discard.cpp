// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Preloaded under a tapdisk: a storage whose discards take SLOW_DISCARD_US microseconds each, as on a slow disk, so
// that a guest's other requests come while the first discard is under way. For tests/replay/worst-guest.
#include <cstdlib>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

int slow_fallocate(int fd, int mode, off_t offset, off_t length) noexcept {
    const char* const delay = std::getenv("SLOW_DISCARD_US");
    if (delay != nullptr && (mode & FALLOC_FL_PUNCH_HOLE) != 0) ::usleep(static_cast<useconds_t>(std::atoi(delay)));
    return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, length));
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int fallocate(int fd, int mode, off_t offset, off_t length) {
    return slow_fallocate(fd, mode, offset, length);
}

__attribute__((visibility("default"))) int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    return slow_fallocate(fd, mode, offset, length);
}

}  // extern "C"
