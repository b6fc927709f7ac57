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
// The locks belong to the open file description: they live until its last descriptor is closed, in any process, so a
// descriptor that tapback keeps holds them past the death of a tapdisk.
//
// Tested by tests/unit/files/image_lock_test.cpp.
#pragma once

#include <string>

#include "libblktap/files/image_opener.hpp"

namespace blktap {

/// Locks the open image `fd`, whose name is `path`: for a writer against all other writers and against readers that do
/// not allow a writer, for a reader against writers only. Returns false, and logs it, if the file system has no such
/// locks. Errors: throws std::system_error, EBUSY with a text that names the user ("/x: in use by qemu-img (pid 123)");
/// then nothing stays locked. Context: on EBUSY it searches /proc, milliseconds for hundreds of processes.
bool lock_image(int fd, const std::string& path, Access access);

}  // namespace blktap
