// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/write_map.hpp"

#include <algorithm>

#include "drivers/qcow2/l2_entry.hpp"
#include "libblktap/base/assert.hpp"

namespace blktap::qcow2 {
namespace {

using Kind = WriteStep::Kind;

}  // namespace

/// How a cluster with this entry is written; where it is, for those that stay there.
WriteStep::Kind WriteMap::classify(std::uint64_t raw, std::uint64_t& host_offset) const noexcept {
    const L2Entry entry = L2Entry::decode(raw, layer_.header.cluster_bits, layer_.header.version);
    host_offset = 0;
    if (entry.kind == L2Entry::Kind::invalid) return Kind::invalid;
    const bool has_cluster =
        entry.kind == L2Entry::Kind::data || (entry.kind == L2Entry::Kind::zero && entry.host_offset != 0);
    if (!has_cluster) return Kind::allocate;
    const std::uint64_t cluster = entry.host_offset >> layer_.header.cluster_bits;
    // A cluster that is free, or that holds a table, is nobody's data: the image is damaged, and would be more so.
    if (!refcounts_.used(cluster) || refcounts_.metadata(cluster)) return Kind::invalid;
    if (refcounts_.count(cluster) > 1) return Kind::allocate;
    host_offset = entry.host_offset;
    return entry.kind == L2Entry::Kind::data ? Kind::in_place : Kind::reuse;
}

WriteStep WriteMap::walk(std::uint32_t slot, std::uint64_t offset, std::uint64_t length) noexcept {
    const unsigned bits = layer_.header.cluster_bits;
    const std::uint64_t cluster = layer_.cluster_bytes();
    const std::uint64_t first = offset >> bits;
    const std::uint64_t skip = offset & (cluster - 1);
    const std::uint64_t wanted = (skip + length + cluster - 1) >> bits;
    const std::uint64_t limit = std::min(wanted, layer_.slice_entries() - layer_.entry_in_slice(first));
    WriteStep step;
    step.kind = classify(raw_entry(layer_, cache_, slot, first), step.host_offset);
    for (step.clusters = 1; step.clusters < limit; ++step.clusters) {
        std::uint64_t host_offset = 0;
        const Kind kind = classify(raw_entry(layer_, cache_, slot, first + step.clusters), host_offset);
        const bool next_to = kind == Kind::allocate || host_offset == step.host_offset + (step.clusters << bits);
        if (kind != step.kind || !next_to) break;
    }
    step.length = std::min(length, (step.clusters << bits) - skip);
    if (step.kind == Kind::in_place) step.host_offset += skip;
    return step;
}

WriteStep WriteMap::find(std::uint64_t offset, std::uint64_t length) noexcept {
    const unsigned bits = layer_.header.cluster_bits;
    const std::uint64_t first = offset >> bits;
    const std::uint64_t table = layer_.l2_table(first);
    if (table != 0) {
        const std::uint64_t at = table + layer_.slice_in_table(first);
        const std::uint32_t slot = cache_.find({0, at});
        if (slot == SliceCache::none || !cache_.ready(slot)) return {Kind::missing, 0, 0, at};
        return walk(slot, offset, length);
    }
    const std::uint64_t skip = offset & (layer_.cluster_bytes() - 1);
    const std::uint64_t wanted = (skip + length + layer_.cluster_bytes() - 1) >> bits;
    const std::uint64_t clusters = std::min(wanted, layer_.slice_entries() - layer_.entry_in_slice(first));
    return {Kind::allocate, std::min(length, (clusters << bits) - skip), clusters, 0};
}

WriteStep WriteMap::find_discard(std::uint64_t guest_cluster, std::uint64_t count) noexcept {
    const std::uint64_t per_table = layer_.cluster_bytes() / 8;
    const std::uint64_t table = layer_.l2_table(guest_cluster);
    if (table == 0) {
        const std::uint64_t left = per_table - (guest_cluster & (per_table - 1));
        return {Kind::nothing, 0, std::min(count, left), 0};
    }
    const std::uint64_t at = table + layer_.slice_in_table(guest_cluster);
    const std::uint32_t slot = cache_.find({0, at});
    if (slot == SliceCache::none || !cache_.ready(slot)) return {Kind::missing, 0, 0, at};
    const auto stored = [&](std::uint64_t cluster) {
        const L2Entry entry = L2Entry::decode(raw_entry(layer_, cache_, slot, cluster), layer_.header.cluster_bits,
                                              layer_.header.version);
        // A damaged entry is not followed anywhere, and so may be forgotten.
        return entry.kind != L2Entry::Kind::unallocated &&
               (entry.kind != L2Entry::Kind::zero || entry.host_offset != 0);
    };
    const std::uint64_t limit = std::min(count, layer_.slice_entries() - layer_.entry_in_slice(guest_cluster));
    WriteStep step{stored(guest_cluster) ? Kind::drop : Kind::nothing, 0, 1, 0};
    while (step.clusters < limit && stored(guest_cluster + step.clusters) == (step.kind == Kind::drop))
        ++step.clusters;
    return step;
}

WriteMap::NewTable* WriteMap::new_table(std::uint64_t l1_index) noexcept {
    for (NewTable& table : new_tables_) {
        if (table.host_offset != 0 && table.l1_index == l1_index) return &table;
    }
    return nullptr;
}

bool WriteMap::begin_use(std::uint64_t guest_cluster) noexcept {
    if (layer_.l2_table(guest_cluster) != 0) return true;
    const std::uint64_t l1_index = layer_.l1_index(guest_cluster);
    NewTable* table = new_table(l1_index);
    if (table == nullptr) {
        // A place that is free, or that of a table which nobody came to use after all.
        const auto place = std::ranges::find_if(new_tables_, [](const NewTable& each) { return each.users == 0; });
        if (place == new_tables_.end()) return false;
        if (place->host_offset != 0) refcounts_.release(place->host_offset >> layer_.header.cluster_bits, 1);
        *place = {};
        const auto run = refcounts_.allocate_metadata();
        if (!run) return false;
        *place = {l1_index, run->first << layer_.header.cluster_bits, 0, run->fresh};
        table = &*place;
    }
    ++table->users;
    return true;
}

void WriteMap::end_use(std::uint64_t guest_cluster) noexcept {
    NewTable* const table = new_table(layer_.l1_index(guest_cluster));
    if (table == nullptr) return;  // it is part of the image
    BLKTAP_ASSERT(table->users > 0);
    --table->users;
}

std::uint64_t WriteMap::slice_offset(std::uint64_t guest_cluster) noexcept {
    std::uint64_t table = layer_.l2_table(guest_cluster);
    if (table == 0) {
        const NewTable* const planned = new_table(layer_.l1_index(guest_cluster));
        BLKTAP_ASSERT(planned != nullptr);
        table = planned->host_offset;
    }
    return table + layer_.slice_in_table(guest_cluster);
}

std::uint64_t WriteMap::file_end_for(const Change& change) noexcept {
    const unsigned bits = layer_.header.cluster_bits;
    std::uint64_t last = change.host_offset + ((change.count - 1) << bits);
    last = std::max(last, refcounts_.block_of(change.host_offset >> bits));
    if (const NewTable* const table = new_table(layer_.l1_index(change.guest_cluster))) {
        last = std::max({last, table->host_offset, refcounts_.block_of(table->host_offset >> bits)});
    }
    return last + layer_.cluster_bytes();
}

std::uint64_t WriteMap::new_entry(const Change& change, std::uint64_t at) const noexcept {
    if (change.kind != Change::Kind::discard) {
        return (change.host_offset + (at << layer_.header.cluster_bits)) | flag_copied;
    }
    // Without the flag the backing file would be seen again. Version 2 has no flag; there such a disk has no discard.
    return has_backing_ ? flag_zero : 0;
}

}  // namespace blktap::qcow2
