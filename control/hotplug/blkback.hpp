// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Taking one device away from blkback, the kernel's own backend, which takes every new device in backend/vbd. The
// device's `state` stays as it is, and the rest of blkback's devices are left alone.
//
// Tested by tests/unit/control/blkback_test.cpp.
#pragma once

#include <string>

#include "libblktap/ipc/vbd_address.hpp"

namespace blktap::hotplug {

/// The root of sysfs: $TAPDISK_SYSFS, or /sys.
std::string default_sysfs();

/// Unbinds "vbd-D-V" from blkback, and waits until it has let go. A driver that is not loaded and a device that it does
/// not have are fine: true when it had it. Errors: throws std::system_error naming the file.
bool unbind_from_blkback(const std::string& sysfs, const ipc::VbdAddress& vbd);

}  // namespace blktap::hotplug
