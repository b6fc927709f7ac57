// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RawImage: an open file or block device whose bytes are the disk's, and what the kernel says of it.
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
    /// Of a file that is shorter than the device, less than info says; whole sectors unless the image is read-only.
    std::uint64_t file_size_bytes = 0;
    bool block_device = false;
    bool sparse = false;  ///< a file with holes
};

/// Asks the kernel for size, alignments and discard limits of `fd`; `name` is for errors. A device made of a file is
/// `declared_size_bytes` long if that is longer than the file (0: as long as the file); a shorter one is logged and
/// changes nothing, because cutting a disk off destroys what is on it.
/// Errors: throws std::system_error: Errc::image_invalid (size 0; for writing or growing, not a multiple of 512 or of
/// the smallest direct write; a block device shorter than declared), Errc::direct_io_unsupported.
/// Context: blocks.
RawImage inspect_raw_image(UniqueFd fd, const std::string& name, Access access, Caching caching,
                           std::uint64_t declared_size_bytes = 0);

}  // namespace blktap
