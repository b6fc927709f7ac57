// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Extent: the result of a look-up in an image's tables: how a part of the disk is stored, and where.
#pragma once

#include <cstdint>

namespace blktap::tables {

/// A part of the disk that is stored in one way, all in bytes.
struct Extent {
    enum class Kind : std::uint8_t {
        unallocated,  ///< this layer does not have it
        zero,
        data,        ///< `length` bytes at host_offset of the layer's data
        compressed,  ///< in the compressed_bytes at host_offset; the part begins at `skip` of the decompressed bytes
        missing,     ///< the slice at host_offset must be read first
        invalid,     ///< the tables are damaged here
    };
    Kind kind = Kind::unallocated;
    std::uint64_t length = 0;  ///< at most the requested length, at least 1 sector
    std::uint32_t layer = 0;
    std::uint64_t host_offset = 0;
    std::uint32_t compressed_bytes = 0;
    std::uint64_t skip = 0;
};

}  // namespace blktap::tables
