// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/layer.hpp"

#include <algorithm>

#include "drivers/shared/bytes.hpp"
#include "drivers/tables/resolve.hpp"

namespace blktap::qcow2 {
namespace {

using Kind = Extent::Kind;

/// Whether the next unit is stored like the first, and adjacent to it.
bool continues(const L2Entry& first, const L2Entry& next, std::uint64_t distance) noexcept {
    if (next.kind != first.kind) return false;
    return first.kind != L2Entry::Kind::data || next.host_offset == first.host_offset + distance;
}

Extent compressed_extent(const L2Entry& entry, std::uint64_t skip, std::uint64_t length) noexcept {
    return {Kind::compressed, length, 0, entry.host_offset, entry.compressed_bytes, skip};
}

Extent look_into_slice(const Layer& layer, const SliceCache& cache, std::uint32_t slot, std::uint64_t offset,
                       std::uint64_t length) noexcept {
    const unsigned bits = layer.unit_bits();
    const unsigned shift = layer.units_shift();
    const std::uint64_t first_unit = offset >> bits;
    const std::uint64_t skip = offset & (layer.unit_bytes() - 1);
    const auto decode = [&](std::uint64_t unit) {
        return layer.unit_entry(raw_entry(layer, cache, slot, unit >> shift), unit & (layer.units_per_cluster() - 1));
    };
    const L2Entry first = decode(first_unit);
    const bool elsewhere = layer.header.external_data() && first.placed && first.host_offset != first_unit << bits;
    if (first.kind == L2Entry::Kind::compressed) {
        const std::uint64_t in_cluster = offset & (layer.cluster_bytes() - 1);
        return compressed_extent(first, in_cluster, std::min(length, layer.cluster_bytes() - in_cluster));
    }
    Extent extent{.length = std::min(length, layer.unit_bytes() - skip)};
    if (first.kind == L2Entry::Kind::invalid || elsewhere) {
        extent.kind = Kind::invalid;
        return extent;
    }
    const std::uint64_t clusters_left = layer.slice_entries() - layer.entry_in_slice(first_unit >> shift);
    const std::uint64_t units_left = (clusters_left << shift) - (first_unit & (layer.units_per_cluster() - 1));
    for (std::uint64_t ahead = 1; extent.length < length && ahead < units_left; ++ahead) {
        if (!continues(first, decode(first_unit + ahead), ahead << bits)) break;
        extent.length = std::min(length, extent.length + layer.unit_bytes());
    }
    if (first.kind == L2Entry::Kind::zero) extent.kind = Kind::zero;
    if (first.kind != L2Entry::Kind::data) return extent;
    extent.kind = Kind::data;
    extent.host_offset = first.host_offset + skip;
    return tables::cut_at_file_end(extent, layer.data_end());
}

}  // namespace

RawEntry Layer::load_entry(std::span<const std::byte> table, std::uint64_t index) const noexcept {
    if (!header.extended_l2()) return {load<std::uint64_t>(table, index * 8), 0};
    return {load<std::uint64_t>(table, index * 16), load<std::uint64_t>(table, index * 16 + 8)};
}

void Layer::store_entry(std::span<std::byte> table, std::uint64_t index, const RawEntry& entry) const noexcept {
    store(table, index * header.l2_entry_bytes(), entry.word);
    if (header.extended_l2()) store(table, index * 16 + 8, entry.bitmap);
}

RawEntry raw_entry(const Layer& layer, const SliceCache& cache, std::uint32_t slot,
                   std::uint64_t guest_cluster) noexcept {
    return layer.load_entry(cache.bytes(slot), layer.entry_in_slice(guest_cluster));
}

Extent look_up(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept {
    const Layer& layer = chain[index];
    length = std::min(length, layer.size_bytes - offset);
    if (layer.raw) return tables::cut_at_file_end({Kind::data, length, 0, offset, 0, 0}, layer.file_end);
    const std::uint64_t guest_cluster = offset >> layer.header.cluster_bits;
    const std::uint64_t table = layer.l2_table(guest_cluster);
    const std::uint64_t per_table = layer.header.bytes_per_table();
    const std::uint64_t left = std::min(length, per_table - (offset & (per_table - 1)));
    if (table == 0) return {Kind::unallocated, left, 0, 0, 0, 0};
    // The file may end inside of its last cluster; a table that begins behind its end is damage.
    const bool inside = is_aligned(table, layer.cluster_bytes()) && table < layer.file_end;
    if (!inside) return {Kind::invalid, left, 0, 0, 0, 0};
    const std::uint64_t at = table + layer.slice_in_table(guest_cluster);
    if (at >= layer.file_end) return {Kind::unallocated, left, 0, 0, 0, 0};
    const std::uint32_t slot = cache.find({index, at});
    if (slot == SliceCache::none || !cache.ready(slot)) return {Kind::missing, left, 0, at, 0, 0};
    return look_into_slice(layer, cache, slot, offset, length);
}

Extent resolve(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept {
    return tables::resolve_in_chain(chain, index, offset, length, [&](std::uint32_t layer, std::uint64_t wanted) {
        return look_up(chain, layer, cache, offset, wanted);
    });
}

}  // namespace blktap::qcow2
