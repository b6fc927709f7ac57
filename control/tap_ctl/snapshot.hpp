// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A snapshot: a new image over another one. The old image keeps the disk's contents and must not be written any more.
// It may be an image that is not being written, or a running disk's. Such a disk goes on with the new image; its guest
// waits meanwhile and sees no error.
//
// Tested by tests/unit/control/image_change_test.cpp and tests/control/qcow2_test.cpp.
#pragma once

#include <string>

#include "control/client/tapback_client.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {

struct SnapshotResult {
    ipc::ImageArguments image{};
    ipc::ImageArguments base{};
};

/// Makes `overlay` over the image `base`; `relative`: the overlay names the base by a path from its own directory.
/// Locks the base for reading. Errors: throws std::system_error: EBUSY (a writer has the base), EEXIST, EINVAL (the
/// formats; a data file that only an option names), those of files.
SnapshotResult make_snapshot(const ImageSpec& base, const ImageSpec& overlay, bool relative);

/// As make_snapshot(), of the running disk `vbd`, which goes on with `overlay`. After a failure the disk goes on with
/// its old image, and no overlay is left; if even that fails, the error's text says so. Signals that end a program are
/// blocked until the disk goes on. Errors: throws std::system_error as above, and tapback's. Blocks until the disk's
/// I/O is done.
SnapshotResult snapshot_running(const ipc::VbdArguments& vbd, TapbackClient& tapback, const ImageSpec& overlay,
                                bool relative);

}  // namespace blktap::tap_ctl
