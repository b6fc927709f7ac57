// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the tools of all formats with tables do alike, with an image that nobody serves.
//
// Tested by tests/unit/drivers/tools_test.cpp.
#pragma once

#include "drivers/formats/tools.hpp"
#include "drivers/tables/extent.hpp"
#include "drivers/tables/image_file.hpp"

namespace blktap::tables {

/// For the tables of an image that is looked at, with all that it is over. Twice what a disk has by default: no option
/// says here that an image may have more.
inline constexpr std::uint64_t inspection_memory_bytes = 512ULL << 20;

/// What is so of every image of a chain. Errors: throws std::system_error naming the file.
ImageLayer described(const ImageFile& layer, std::string_view format);

/// The same of every layer of a chain, with what `describe` knows of one.
template <typename Layer>
std::vector<ImageLayer> described(const std::vector<Layer>& chain, ImageLayer (*describe)(const Layer&)) {
    std::vector<ImageLayer> layers;
    for (const Layer& layer : chain)
        layers.push_back(describe(layer));
    return layers;
}

/// What was found to be wrong becomes part of `report`; whether anything was.
bool tell_errors(std::uint64_t errors, const std::string& first, CheckReport& report);

/// A piece of the disk, `extent`, which is in `layer`; null: no image of the chain has it.
DiskPiece piece_of(std::uint64_t offset, const Extent& extent, const ImageFile* layer);

/// `map_disk` is the format's own walk over the extents of a chain's disk.
template <typename Layer, typename MapDisk>
void map_pieces(const std::vector<Layer>& chain, MapDisk map_disk, const TellProgress& tell,
                const PieceVisitor& visit) {
    map_disk(chain, [&](std::uint64_t offset, const Extent& extent) {
        tell(offset, chain.front().size_bytes);
        visit(piece_of(offset, extent, extent.layer < chain.size() ? &chain[extent.layer] : nullptr));
    });
}

}  // namespace blktap::tables
