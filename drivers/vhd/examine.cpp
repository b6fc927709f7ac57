// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/examine.hpp"

#include <algorithm>

#include "drivers/vhd/allocator.hpp"
#include "drivers/vhd/open_image.hpp"
#include "drivers/vhd/table_io.hpp"

namespace blktap::vhd {
namespace {

void load_slice(const Chain& chain, SliceCache& cache, const Extent& missing) {
    const Layer& layer = chain[missing.layer];
    const auto slice = read_bytes(layer, missing.host_offset, layer.slice_bytes());
    const std::uint32_t slot = cache.insert({missing.layer, missing.host_offset});
    std::ranges::copy(slice, cache.bytes(slot).begin());
    cache.loaded(slot);
}

}  // namespace

Findings check_image(const Layer& layer) {
    Findings findings;
    findings.end_footer_missing = !layer.end_footer;
    if (layer.raw) return findings;
    findings.copy_differs = Footer::parse(read_bytes(layer, 0, footer_bytes)) != layer.footer;
    std::uint64_t end = 0;
    const Occupied occupied = find_occupied(layer, [&](std::uint64_t part_begin, std::uint64_t part_end) {
        // Padding for alignment does not count as unused. It may extend over the unit after the one in which the
        // previous part ends, because with sectors of that size the two must not share a unit.
        const std::uint64_t room_end = round_up(end, Allocator::data_alignment) + Allocator::data_alignment;
        if (part_begin >= room_end) findings.unused_bytes += part_begin - end;
        end = std::max(end, part_end);
    });
    findings.errors = occupied.problems;
    findings.first_error = occupied.first_problem;
    findings.blocks_used = occupied.blocks;
    if (layer.file_end > end + Allocator::data_alignment) findings.unused_bytes += layer.file_end - end;
    return findings;
}

void map_disk(const Chain& chain, const std::function<void(std::uint64_t, const Extent&)>& visit) {
    SliceCache cache{0};
    const std::uint64_t end = chain.front().size_bytes;
    for (std::uint64_t offset = 0; offset < end;) {
        const Extent extent = resolve(chain, cache, offset, end - offset);
        if (extent.kind == Extent::Kind::missing) {
            load_slice(chain, cache, extent);
            continue;
        }
        visit(offset, extent);
        offset += extent.length;
    }
}

}  // namespace blktap::vhd
