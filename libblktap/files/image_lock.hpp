// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Locks on image files that QEMU's programs understand and respect: two writers of one image destroy it, be they two
// guests or a guest and qemu-img.
//
// QEMU's convention: a user's access to an image is a set of permissions. One shared lock on byte 100 + N says "I use
// permission N", one on byte 200 + N "nobody else may use N". After taking its own locks, a user checks whether another
// one holds the opposite of any of them. Nobody ever waits, so two users that begin at the same instant may both be
// refused.
//
// The locks belong to the open file description: they live until its last descriptor is closed, in any process, and the
// last request in the kernel is over that was made with it. So a description that tapback keeps holds them past the
// death of a tapdisk, and the tapdisk's own past the end of tapback.
//
// Tested by tests/unit/files/image_lock_test.cpp.
#pragma once

#include <string>
#include <system_error>

#include "libblktap/files/image_opener.hpp"

namespace blktap {

/// Locks the open image `fd`, whose name is `path`: for a writer against all other writers and against readers that do
/// not allow a writer, for a reader against writers only. Returns false, and logs it, if the file system has no such
/// locks. Errors: throws std::system_error, EBUSY with a text that names the user ("/x: in use by qemu-img (pid 123)");
/// then nothing stays locked. Context: on EBUSY it searches /proc, milliseconds for hundreds of processes.
bool lock_image(int fd, const std::string& path, Access access);

/// Locks another description of an image that lock_image() has locked, without the question who else uses it: the
/// image stays locked when either of the two is closed. Returns an error if the locks cannot be had. Errors: throws
/// std::system_error, EBUSY: a program that knows nothing of the convention has locked the image since.
std::error_code lock_image_again(int fd, const std::string& path, Access access);

/// Whether an error of fcntl(2) says that the file system has no locks, or no more of them. ENOLCK: also a network file
/// system whose server or lock daemon does not support locks.
bool means_no_locks(int error) noexcept;

}  // namespace blktap
