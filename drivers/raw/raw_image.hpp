// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RawImage: an open file or block device whose bytes are the disk's, with size and limits from the kernel.
//
// Tested by tests/unit/drivers/raw_image_test.cpp.
#pragma once

#include <string>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

struct RawImage {
    UniqueFd fd;
    ImageInfo info;
    /// For a file that is shorter than the disk, less than info.size_sectors; whole sectors unless read-only.
    std::uint64_t file_size_bytes = 0;
    bool block_device = false;
    bool sparse = false;  ///< a file with holes
};

/// Queries size, alignments and discard limits of `fd`; `name` is for errors. The disk of a file has
/// `declared_size_bytes` if that exceeds the file's size (0: the file's size); a smaller declared size is logged and
/// ignored, because cutting a disk destroys data.
/// Errors: throws std::system_error: Errc::image_invalid (size 0; for writing or growing, not a multiple of 512 or of
/// the smallest direct write; a block device shorter than declared), Errc::direct_io_unsupported.
/// `told`: of a block device, by whoever opened it. Context: blocks.
RawImage inspect_raw_image(UniqueFd fd, const std::string& name, Access access, Caching caching,
                           std::uint64_t declared_size_bytes = 0, const DeviceDiscard& told = {});

}  // namespace blktap
