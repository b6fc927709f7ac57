// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Looking a piece of the disk up through the images of a chain, each of which may have it or not.
#pragma once

#include <algorithm>
#include <cstdint>

#include "drivers/tables/extent.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::tables {

/// Of an extent of Kind::data what is in a file that ends at `file_end`, up to that sector, or the zeros behind it.
inline Extent cut_at_file_end(Extent extent, std::uint64_t file_end) noexcept {
    if (extent.host_offset >= file_end) {
        extent.kind = Extent::Kind::zero;
    } else {
        extent.length = std::min(extent.length, round_up(file_end - extent.host_offset, sector_size_bytes));
    }
    return extent;
}

/// The beginning of `length` bytes at `offset` that is stored in one way, in the first of the chain's images from
/// `index` on that has it. `look_up(index, length)` asks one image. Never Kind::unallocated: what no image has is
/// zeros.
template <class Chain, class LookUp>
Extent resolve_in_chain(const Chain& chain, std::uint32_t index, std::uint64_t offset, std::uint64_t length,
                        LookUp look_up) noexcept {
    for (; index < chain.size(); ++index) {
        // Behind the end of an image are zeros, whatever those below it have there.
        if (offset >= chain[index].size_bytes) break;
        Extent extent = look_up(index, length);
        extent.layer = index;
        if (extent.kind != Extent::Kind::unallocated) return extent;
        length = extent.length;
    }
    return {Extent::Kind::zero, length, index};
}

}  // namespace blktap::tables
