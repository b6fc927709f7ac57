// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// LocalImageOpener: opens images with this process's own rights, for a tapdisk that runs alone, for tap-ctl, and for
// tests. These are usually root's rights, so a file that only an image names is not opened for writing: see
// open_named().
//
// A block device that is opened for writing is claimed (O_EXCL): the kernel then refuses one that is mounted, part of a
// volume group or RAID, or claimed by another writer. Files and devices are locked as QEMU's programs lock them
// (libblktap/files/image_lock.hpp).
//
// Tested by tests/unit/files/local_image_opener_test.cpp and connect_test.cpp.
#pragma once

#include "libblktap/files/image_opener.hpp"

namespace blktap {

class LocalImageOpener final : public ImageOpener {
  public:
    /// As ImageOpener::open(), with EBUSY for an image in use. Does not wait for the writer of a FIFO.
    UniqueFd open(const std::string& path, Access access, Caching caching) override;
    UniqueFd connect(const std::string& address) override;
};

}  // namespace blktap
