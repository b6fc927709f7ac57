// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A snapshot: an image over another one, which from then on keeps what the disk was and must not be written any more.
// Of an image that nobody writes, or of a running disk, which goes on with the new image; its guest waits meanwhile and
// sees no error.
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

/// Makes `overlay` over the image `base`; `relative`: it names the base from its own directory. Locks the base for
/// reading. Errors: throws std::system_error: EBUSY (a writer has the base), EEXIST, EINVAL (formats; a data file
/// that only an option names), those of files.
SnapshotResult make_snapshot(const ImageSpec& base, const ImageSpec& overlay, bool relative);

/// The same of the image of the running disk `vbd`, which goes on with `overlay`. Whatever fails, the disk goes on with
/// the image that it had, and no overlay is left; if even that fails, the text says so. Signals that end a program wait
/// until the disk goes on. Errors: throws std::system_error as above, and what tapback says. Blocks for as long as the
/// disk has I/O.
SnapshotResult snapshot_running(const ipc::VbdArguments& vbd, TapbackClient& tapback, const ImageSpec& overlay,
                                bool relative);

}  // namespace blktap::tap_ctl
