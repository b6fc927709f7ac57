// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Unbinds one device from blkback, the kernel's own backend, which binds every new device in backend/vbd. The device's
// `state` stays as it is, and blkback's other devices are left alone.
//
// Tested by tests/unit/control/blkback_test.cpp.
#pragma once

#include <string>

#include "libblktap/ipc/vbd_address.hpp"

namespace blktap::hotplug {

/// The root of sysfs: $TAPDISK_SYSFS, or /sys.
std::string default_sysfs();

/// Unbinds "vbd-D-V" from blkback, and waits until it is unbound. Returns false if blkback is not loaded or does not
/// have the device. Errors: throws std::system_error naming the file.
bool unbind_from_blkback(const std::string& sysfs, const ipc::VbdAddress& vbd);

}  // namespace blktap::hotplug
