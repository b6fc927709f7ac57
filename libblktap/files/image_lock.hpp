// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Locks on image files that QEMU's programs understand and respect: two writers of one image destroy it, be they two
// guests or a guest and qemu-img.
//
// QEMU's convention: what a user does with an image is a set of permissions. One shared lock on byte 100 + N says "I
// use permission N", one on byte 200 + N "nobody else may use N". After taking its own, a user looks whether anyone has
// the opposite of one of them. Nobody ever waits, so two that begin at the same instant may both be refused.
//
// The locks are of the open file description: they live until its last descriptor is closed, wherever that is, so a
// descriptor that tapback keeps holds them past the death of a tapdisk.
//
// Tested by tests/unit/files/image_lock_test.cpp.
#pragma once

#include <string>

#include "libblktap/files/image_opener.hpp"

namespace blktap {

/// Locks the open image `fd`, whose name is `path`: for a writer against every other writer and against readers that do
/// not put up with one, for a reader against writers only. False: its file system has no such locks; that is logged.
/// Errors: throws std::system_error, EBUSY with a text that says who uses it ("/x: in use by qemu-img (pid 123)"); then
/// nothing stays locked. Context: on EBUSY it looks through /proc, milliseconds for hundreds of processes.
bool lock_image(int fd, const std::string& path, Access access);

}  // namespace blktap
