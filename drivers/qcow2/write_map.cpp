// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/write_map.hpp"

#include <algorithm>

#include "libblktap/base/assert.hpp"

namespace blktap::qcow2 {
namespace {

using Kind = WriteStep::Kind;

}  // namespace

/// Returns how a unit with this entry is written, with its offset if it is written in place.
WriteMap::Unit WriteMap::classify(const L2Entry& entry, std::uint64_t unit) const noexcept {
    if (entry.kind == L2Entry::Kind::invalid) return {Kind::invalid, false, 0};
    if (places_are_fixed()) {
        const std::uint64_t place = unit << layer_.unit_bits();
        if (entry.placed && entry.host_offset != place) return {Kind::invalid, false, 0};
        return {entry.kind == L2Entry::Kind::data ? Kind::in_place : Kind::allocate, false, place};
    }
    // All subclusters of a compressed cluster must be copied together.
    const Unit all_of_it{Kind::allocate, layer_.header.extended_l2(), 0};
    if (entry.kind == L2Entry::Kind::compressed) return all_of_it;
    if (!entry.placed) return {Kind::allocate, false, 0};
    const std::uint64_t cluster = entry.host_offset >> layer_.header.cluster_bits;
    // A cluster that is free or holds a table cannot be data: the image is damaged, and a write would damage it more.
    if (!refcounts_.used(cluster) || refcounts_.metadata(cluster)) return {Kind::invalid, false, 0};
    if (refcounts_.count(cluster) > 1) return all_of_it;
    return {entry.kind == L2Entry::Kind::data ? Kind::in_place : Kind::reuse, false, entry.host_offset};
}

WriteStep WriteMap::walk(std::uint32_t slot, std::uint64_t offset, std::uint64_t length) noexcept {
    const unsigned bits = layer_.unit_bits();
    const unsigned shift = layer_.units_shift();
    const std::uint64_t in_cluster = layer_.units_per_cluster() - 1;
    const auto unit_at = [&](std::uint64_t unit) {
        return classify(layer_.unit_entry(raw_entry(layer_, cache_, slot, unit >> shift), unit & in_cluster), unit);
    };
    const std::uint64_t first = offset >> bits;
    const std::uint64_t wanted = ((offset + length - 1) >> bits) - first + 1;
    const std::uint64_t clusters_left = layer_.slice_entries() - layer_.entry_in_slice(first >> shift);
    const std::uint64_t limit = std::min(wanted, (clusters_left << shift) - (first & in_cluster));
    const Unit unit = unit_at(first);
    std::uint64_t count = 1;
    for (; count < limit; ++count) {
        const Unit next = unit_at(first + count);
        const bool next_to = next.kind == Kind::allocate || next.host_offset == unit.host_offset + (count << bits);
        if (next.kind != unit.kind || next.whole != unit.whole || !next_to) break;
    }
    return span(unit, offset, count, length);
}

/// Returns the step for `units` like `first`, which is the unit of `offset`.
WriteStep WriteMap::span(const Unit& first, std::uint64_t offset, std::uint64_t units,
                         std::uint64_t length) const noexcept {
    const unsigned bits = layer_.unit_bits();
    const unsigned shift = layer_.units_shift();
    const std::uint64_t per_cluster = layer_.units_per_cluster();
    const std::uint64_t begin = offset >> bits;
    const std::uint64_t last = begin + units - 1;
    WriteStep step;
    step.kind = first.kind;
    step.clusters = (last >> shift) - (begin >> shift) + 1;
    step.length = std::min(length, ((last + 1) << bits) - offset);
    if (!first.whole) step.first_unit = static_cast<std::uint32_t>(begin & (per_cluster - 1));
    step.end_unit = static_cast<std::uint32_t>(first.whole ? per_cluster : (last & (per_cluster - 1)) + 1);
    if (first.kind == Kind::in_place) step.host_offset = first.host_offset + (offset & ((1ULL << bits) - 1));
    if (first.kind == Kind::reuse) step.host_offset = first.host_offset - ((begin & (per_cluster - 1)) << bits);
    return step;
}

WriteStep WriteMap::find(std::uint64_t offset, std::uint64_t length) noexcept {
    const std::uint64_t first = offset >> layer_.header.cluster_bits;
    const std::uint64_t table = layer_.l2_table(first);
    if (table != 0) {
        const std::uint64_t at = table + layer_.slice_in_table(first);
        const std::uint32_t slot = cache_.find({0, at});
        if (slot == SliceCache::none || !cache_.ready(slot)) return {.kind = Kind::missing, .host_offset = at};
        return walk(slot, offset, length);
    }
    const std::uint64_t slice_end = (first - layer_.entry_in_slice(first) + layer_.slice_entries())
                                    << layer_.header.cluster_bits;
    const std::uint64_t end = std::min(offset + length, slice_end);
    const std::uint64_t units = ((end - 1) >> layer_.unit_bits()) - (offset >> layer_.unit_bits()) + 1;
    return span({Kind::allocate, false, 0}, offset, units, length);
}

WriteStep WriteMap::find_discard(std::uint64_t guest_cluster, std::uint64_t count) noexcept {
    const std::uint64_t per_table = layer_.header.table_entries();
    const std::uint64_t table = layer_.l2_table(guest_cluster);
    if (table == 0) {
        const std::uint64_t left = per_table - (guest_cluster & (per_table - 1));
        return {.kind = Kind::nothing, .clusters = std::min(count, left)};
    }
    const std::uint64_t at = table + layer_.slice_in_table(guest_cluster);
    const std::uint32_t slot = cache_.find({0, at});
    if (slot == SliceCache::none || !cache_.ready(slot)) return {.kind = Kind::missing, .host_offset = at};
    const auto stored = [&](std::uint64_t cluster) {
        const RawEntry raw = raw_entry(layer_, cache_, slot, cluster);
        const L2Entry entry = layer_.cluster_entry(raw);
        // A damaged entry is never followed, so it may be removed.
        return entry.placed || entry.kind == L2Entry::Kind::invalid || (raw.bitmap & bitmap_all_data) != 0;
    };
    const std::uint64_t limit = std::min(count, layer_.slice_entries() - layer_.entry_in_slice(guest_cluster));
    WriteStep step{.kind = stored(guest_cluster) ? Kind::drop : Kind::nothing, .clusters = 1};
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
        // A free element, or one whose table was never used.
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
    if (table == nullptr) return;  // the table is part of the image already
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
    std::uint64_t last = 0;
    if (!places_are_fixed()) {
        last = change.host_offset + ((change.count - 1) << bits);
        last = std::max(last, refcounts_.block_of(change.host_offset >> bits));
    }
    if (const NewTable* const table = new_table(layer_.l1_index(change.guest_cluster))) {
        last = std::max({last, table->host_offset, refcounts_.block_of(table->host_offset >> bits)});
    }
    return last + layer_.cluster_bytes();
}

RawEntry WriteMap::new_entry(const Change& change, std::uint64_t at, const RawEntry& old) const noexcept {
    const bool extended = layer_.header.extended_l2();
    if (change.kind == Change::Kind::discard) {
        // Without the zero flag the backing file would be visible again. Version 2 has no such flag; there a disk with
        // a backing file has no discard, and only clusters behind the end of disk and backing file are dropped.
        if (!has_backing_ || layer_.header.version < 3) return {};
        return extended ? RawEntry{0, bitmap_all_zero} : RawEntry{flag_zero, 0};
    }
    RawEntry entry{(change.host_offset + (at << layer_.header.cluster_bits)) | flag_copied, 0};
    if (!extended) return entry;
    const std::uint64_t filled =
        bitmap_of(at == 0 ? change.first_unit : 0, at + 1 == change.count ? change.end_unit : subclusters_per_cluster);
    entry.bitmap = (old.bitmap | filled) & ~(filled << 32);
    return entry;
}

}  // namespace blktap::qcow2
