// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Making VHD images: fixed, dynamic, and differencing ones over another image.
//
// Tested by tests/unit/vhd/create_test.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "drivers/vhd/metadata/header.hpp"

namespace blktap::vhd {

struct NewImage {
    std::string path;
    std::uint64_t size_bytes = 0;  ///< a multiple of 512
    bool fixed = false;
    std::uint64_t block_bytes = block_bytes_usual;
    /// The parent of a differencing image; empty: none. A relative name begins at the image.
    std::string parent{};
    bool parent_is_raw = false;
};

/// Makes the file `image.path`, which must not exist, and makes it durable. Its parent, which must exist and must not
/// be written any more, is named relatively and absolutely. On failure no file is left. Errors: throws
/// std::system_error naming the path: Errc::direct_io_unsupported (a fixed image that could not be written there,
/// because of sectors of 4096 bytes); EEXIST; EINVAL (a block size that is no power of two from 4096 bytes to 256 MiB;
/// a size that is 0, above 2040 GiB or impossible with these blocks; a fixed image with a parent or a block size);
/// those of open_chain() for the parent; those of writing. Context: blocks.
void create_image(const NewImage& image);

}  // namespace blktap::vhd
