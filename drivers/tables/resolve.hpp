// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Looks a part of the disk up through the images of a chain.
#pragma once

#include <algorithm>
#include <cstdint>

#include "drivers/tables/extent.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::tables {

/// Cuts an extent of Kind::data at `file_end`: returns its part in the file, or zeros if it begins behind the end.
inline Extent cut_at_file_end(Extent extent, std::uint64_t file_end) noexcept {
    if (extent.host_offset >= file_end) {
        extent.kind = Extent::Kind::zero;
    } else {
        extent.length = std::min(extent.length, round_up(file_end - extent.host_offset, sector_size_bytes));
    }
    return extent;
}

/// Returns the first part of `length` bytes at `offset` that is stored in one way, from the first image of the chain
/// from `index` on that has it. `look_up(index, length)` looks up one image. Never Kind::unallocated: bytes that no
/// image has are zeros.
template <class Chain, class LookUp>
Extent resolve_in_chain(const Chain& chain, std::uint32_t index, std::uint64_t offset, std::uint64_t length,
                        LookUp look_up) noexcept {
    for (; index < chain.size(); ++index) {
        // Behind the end of an image are zeros, whatever the images below have there.
        if (offset >= chain[index].size_bytes) break;
        Extent extent = look_up(index, length);
        extent.layer = index;
        if (extent.kind != Extent::Kind::unallocated) return extent;
        length = extent.length;
    }
    return {Extent::Kind::zero, length, index};
}

}  // namespace blktap::tables
