// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Discard on files and block devices: whether it is supported, in which units, and the operation itself.
//
// On a file a discard punches a hole, which reads as zeros. On a block device it is BLKDISCARD, after which the
// contents are undefined, as the guest's protocol allows; punching a hole there would mean "write zeros", which many
// devices that can discard cannot do without writing.
//
// Tested by tests/unit/drivers/discard_test.cpp and raw_driver_test.cpp.
#pragma once

#include <cstdint>
#include <sys/stat.h>
#include <system_error>

#include "libblktap/base/units.hpp"
#include "libblktap/driver_api/whole_granules.hpp"
#include "libblktap/files/image_opener.hpp"

namespace blktap {

struct DiscardLimits {
    bool supported = false;
    std::uint32_t granularity_bytes = 0;  ///< a multiple of 512
    std::uint32_t alignment_bytes = 0;    ///< where the first granule begins; a multiple of 512
};

/// Returns the discard limits of `fd`, a regular file or block device, without changing a byte. A file that is open for
/// writing is probed by punching beyond its end; for a file open for reading the name of the file system decides. A
/// block device's limits are what sysfs has `told`; without that, support is probed with a misaligned BLKDISCARD.
DiscardLimits find_discard_limits(int fd, const struct stat& status, Access access, const DeviceDiscard& told);

/// Discards `range`. Errors: EOPNOTSUPP, EIO and others of fallocate(2). Context: a worker's thread; blocks.
std::error_code discard_sectors(int fd, bool block_device, SectorRange range) noexcept;

}  // namespace blktap
