// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Shared by the tools of all formats with tables, for images that no disk uses.
//
// Tested by tests/unit/drivers/tools_test.cpp.
#pragma once

#include "drivers/formats/tools.hpp"
#include "drivers/tables/extent.hpp"
#include "drivers/tables/image_file.hpp"

namespace blktap::tables {

/// Memory for the tables of an examined image with its backing files or parents. Twice a disk's default, because there
/// is no option to raise it.
inline constexpr std::uint64_t inspection_memory_bytes = 512ULL << 20;

/// Returns the properties that every image of a chain has. Errors: throws std::system_error naming the file.
ImageLayer described(const ImageFile& layer, std::string_view format);

/// The same for every layer of a chain, with the facts that `describe` adds.
template <typename Layer>
std::vector<ImageLayer> described(const std::vector<Layer>& chain, ImageLayer (*describe)(const Layer&)) {
    std::vector<ImageLayer> layers;
    for (const Layer& layer : chain)
        layers.push_back(describe(layer));
    return layers;
}

/// Adds the errors that were found to `report`; returns whether there are any.
bool tell_errors(std::uint64_t errors, const std::string& first, CheckReport& report);

/// Returns `extent`, which is in `layer`, as a piece of the disk; `layer` is null if no image of the chain has it.
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
