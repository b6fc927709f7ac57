// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageLimits: size and direct I/O alignment of an open file or block device, as the kernel reports them.
//
// Alignment comes from statx(STATX_DIOALIGN). Where the file system does not report it (before Linux 6.1; NFS, btrfs,
// tmpfs), a block device's logical block size is used, and a file is probed with a read of 512 bytes, then of 4096.
//
// Tested by tests/unit/drivers/raw_image_test.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <sys/stat.h>

#include "libblktap/base/units.hpp"
#include "libblktap/files/image_opener.hpp"

namespace blktap {

/// The largest block of storage that Linux knows: offset_alignment_bytes is at most this.
inline constexpr std::uint32_t storage_block_max_bytes = 64 * 1024;

struct StorageLimits {
    struct stat status {};
    bool block_device = false;
    std::uint64_t size_bytes = 0;
    std::uint32_t offset_alignment_bytes = sector_size_bytes;  ///< for file offsets and lengths
    std::uint32_t memory_alignment_bytes = sector_size_bytes;
    std::uint32_t physical_sector_size_bytes = sector_size_bytes;
    /// I/O may go straight to memory of the guest; false on network file systems.
    bool zero_copy_safe = true;
};

/// Queries the kernel; `name` is for errors. Errors: throws std::system_error: Errc::direct_io_unsupported, those of
/// fstat(2) and of a device's ioctls. Context: blocks.
StorageLimits find_storage_limits(int fd, const std::string& name, Caching caching);

}  // namespace blktap
