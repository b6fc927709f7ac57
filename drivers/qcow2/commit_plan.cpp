// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/commit_plan.hpp"

#include <algorithm>
#include <cstring>

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/assert.hpp"

namespace blktap::qcow2 {

CommitPlan::CommitPlan(WriteMap& map)
    : tables::CommitPlan(phases, writes_max),
      map_(map),
      zeros_(Mapping::anonymous(map.layer().cluster_bytes())),
      staging_(Mapping::anonymous(writes_max * SliceCache::slice_bytes_max)) {
    changes_.reserve(changes_max);
    staged_.reserve(writes_max);
    tables_.reserve(WriteMap::new_tables_max);
    refcount_pieces_.reserve(writes_max);
    punches_.reserve(punches_max);
}

/// Whether there is room for the writes, and for those that seal() adds: refcounts, and for each change an L1 piece and
/// the zeros under its table.
bool CommitPlan::has_room(std::size_t writes, std::size_t changes) const noexcept {
    const std::size_t sealed = map_.refcounts().dirty().count() + 2 * WriteMap::new_tables_max + 64;
    return staged_.size() + writes + sealed <= writes_max && changes_.size() + changes <= changes_max;
}

std::span<std::byte> CommitPlan::new_piece() noexcept {
    BLKTAP_ASSERT(pieces_ < writes_max);
    return staging_.bytes().subspan(pieces_++ * SliceCache::slice_bytes_max, map_.layer().slice_bytes());
}

/// Pieces of a phase must be durable before others point to them, and before clusters that they release are free.
bool CommitPlan::is_barrier(unsigned phase) const noexcept {
    if (phase == 0) return writes_in(0);
    if (phase == 1) return writes_in(last_phase());
    return frees_;
}

CommitPlan::Added CommitPlan::add(std::span<const Change> changes) noexcept {
    if (!has_room(changes.size(), changes.size())) return Added::full;
    for (const Change& change : changes) {
        if (map_.layer().l2_table(change.guest_cluster) == 0) continue;
        const std::uint64_t at = map_.slice_offset(change.guest_cluster);
        const std::uint32_t slot = map_.cache().find({0, at});
        if (slot != SliceCache::none && map_.cache().ready(slot)) continue;
        missing_slice_ = at;
        return Added::missing;
    }
    for (const Change& change : changes) {
        changes_.push_back(change);
        const Staged& staged = stage(change);
        for (std::uint64_t i = 0; i < change.count; ++i) {
            const std::uint64_t at = map_.layer().entry_in_slice(change.guest_cluster + i);
            const RawEntry old = map_.layer().load_entry(staged.data, at);
            const RawEntry entry = map_.new_entry(change, i, old);
            note_old(change, change.guest_cluster + i, old, entry);
            map_.layer().store_entry(staged.data, at, entry);
        }
    }
    return Added::yes;
}

/// Returns the copy of the slice that `change` changes.
CommitPlan::Staged& CommitPlan::stage(const Change& change) noexcept {
    const std::uint64_t offset = map_.slice_offset(change.guest_cluster);
    const auto found = std::ranges::find(staged_, offset, &Staged::offset);
    if (found != staged_.end()) return *found;
    Staged staged{offset, new_piece(), SliceCache::none};
    if (map_.layer().l2_table(change.guest_cluster) != 0) {
        staged.slot = map_.cache().find({0, offset});
        map_.cache().pin(staged.slot);
        std::memcpy(staged.data.data(), map_.cache().bytes(staged.slot).data(), staged.data.size());
    } else {
        std::ranges::fill(staged.data, std::byte{0});
        note_table(change.guest_cluster);
    }
    staged_.push_back(staged);
    return staged_.back();
}

void CommitPlan::note_table(std::uint64_t guest_cluster) noexcept {
    const std::uint64_t index = map_.layer().l1_index(guest_cluster);
    if (std::ranges::find(tables_, index, &UsedTable::l1_index) != tables_.end()) return;
    tables_.push_back({index, map_.new_table(index)->host_offset});
}

/// Notes that the cluster of the old entry will be released.
void CommitPlan::note_old(const Change& change, std::uint64_t guest_cluster, const RawEntry& old_entry,
                          const RawEntry& new_entry) noexcept {
    const L2Entry entry = map_.layer().cluster_entry(old_entry);
    if (!entry.placed || entry.same_place(map_.layer().cluster_entry(new_entry))) return;
    frees_ = true;
    // By the guest's offset: a damaged entry may name another cluster's place.
    if (map_.places_are_fixed()) return note_punch(guest_cluster << map_.layer().header.cluster_bits);
    const std::uint64_t cluster = entry.host_offset >> map_.layer().header.cluster_bits;
    const bool whole = change.kind == Change::Kind::discard && entry.kind != L2Entry::Kind::compressed;
    const Refcounts& refcounts = map_.refcounts();
    // A damaged entry may point to a table.
    if (whole && refcounts.count(cluster) == 1 && !refcounts.metadata(cluster)) note_punch(entry.host_offset);
}

void CommitPlan::note_punch(std::uint64_t offset) noexcept {
    const std::uint64_t length = map_.layer().cluster_bytes();
    if (!punches_.empty() && punches_.back().offset + punches_.back().length == offset) {
        punches_.back().length += length;
    } else if (punches_.size() < punches_max) {
        punches_.push_back({offset, length});  // clusters that are not punched are reused all the same
    }
}

void CommitPlan::seal() noexcept {
    for (const UsedTable& table : tables_) {
        const bool fresh = map_.new_table(table.l1_index)->fresh;
        if (!fresh) write(0, table.host_offset, zeros_.bytes());
    }
    add_refcounts();
    for (const Staged& staged : staged_)
        write(staged.slot == SliceCache::none ? 1 : 2, staged.offset, staged.data);
    add_l1();
    std::ranges::sort(writes_, {}, &Write::phase);  // a stable sort would allocate
}

/// Adds dirty pieces of refcounts. A block beyond the file's present end counts no cluster of this group, and waits.
void CommitPlan::add_refcounts() noexcept {
    Refcounts& refcounts = map_.refcounts();
    const std::uint64_t file_end = map_.layer().file_end;
    // A new block may be counted by another block, and must be counted before the table points to it.
    const bool new_blocks = refcounts.table().has_new();
    for (auto piece = refcounts.dirty().next(0); piece; piece = refcounts.dirty().next(*piece + 1)) {
        if (refcounts.piece_offset(*piece) >= file_end) continue;
        // Some pieces are left for the next group, and so is the table, which must point to whole blocks only.
        if (writes_.size() >= writes_max - staged_.size() - 2 * WriteMap::new_tables_max) return;
        const auto data = new_piece();
        refcounts.encode_piece(*piece, data);
        write(new_blocks ? 0 : 1, refcounts.piece_offset(*piece), data);
        refcounts.dirty().clear(*piece);
        refcount_pieces_.push_back(*piece);
    }
    refcounts.table().begin_write(file_end, [&](std::uint64_t piece) {
        const auto data = new_piece();
        refcounts.table().encode_piece(piece, data);
        write(1, refcounts.table().piece_offset(piece), data);
    });
}

void CommitPlan::add_l1() noexcept {
    const Layer& layer = map_.layer();
    const std::uint64_t per_piece = layer.slice_bytes() / 8;
    std::ranges::sort(tables_, {}, &UsedTable::l1_index);
    std::span<std::byte> data;
    std::uint64_t piece = ~std::uint64_t{0};
    for (const UsedTable& table : tables_) {
        if (table.l1_index / per_piece != piece) {
            piece = table.l1_index / per_piece;
            data = new_piece();
            for (std::uint64_t i = 0; i < per_piece; ++i) {
                const std::uint64_t index = piece * per_piece + i;
                store<std::uint64_t>(data, i * 8, index < layer.l1.size() ? layer.l1[index] : 0);
            }
            write(2, layer.header.l1_offset + piece * layer.slice_bytes(), data);
        }
        store<std::uint64_t>(data, table.l1_index % per_piece * 8, table.host_offset | flag_copied);
    }
}

/// Drops the references of an entry that was removed from the image.
void CommitPlan::drop_old(const RawEntry& old_entry, const RawEntry& new_entry, bool hold) noexcept {
    const unsigned bits = map_.layer().header.cluster_bits;
    const L2Entry entry = map_.layer().cluster_entry(old_entry);
    if (!entry.placed || entry.same_place(map_.layer().cluster_entry(new_entry)) || map_.places_are_fixed()) return;
    const std::uint64_t length = entry.kind == L2Entry::Kind::compressed ? entry.compressed_bytes : 1;
    for (std::uint64_t cluster = entry.host_offset >> bits; cluster <= (entry.host_offset + length - 1) >> bits;
         ++cluster) {
        if (map_.refcounts().used(cluster) && !map_.refcounts().metadata(cluster)) map_.refcounts().drop(cluster, hold);
    }
}

void CommitPlan::apply(const Staged& staged) noexcept {
    SliceCache& cache = map_.cache();
    std::uint32_t slot = staged.slot;
    if (slot != SliceCache::none) {
        cache.unpin(slot);
    } else {
        slot = cache.insert({0, staged.offset});
        if (slot == SliceCache::none) return;  // the table will be read when it is needed
        cache.loaded(slot);
    }
    std::memcpy(cache.bytes(slot).data(), staged.data.data(), staged.data.size());
}

void CommitPlan::finish() noexcept {
    Layer& layer = map_.layer();
    for (const Change& change : changes_) {
        const auto staged = std::ranges::find(staged_, map_.slice_offset(change.guest_cluster), &Staged::offset);
        if (staged->slot == SliceCache::none) continue;  // a new table had nothing
        // A discard runs alone on its clusters; a write may overtake a read of what was there.
        const bool hold = change.kind != Change::Kind::discard;
        for (std::uint64_t i = 0; i < change.count; ++i) {
            const RawEntry old = raw_entry(layer, map_.cache(), staged->slot, change.guest_cluster + i);
            drop_old(old, map_.new_entry(change, i, old), hold);
        }
    }
    for (const Staged& staged : staged_)
        apply(staged);
    for (const Change& change : changes_) {
        if (change.kind != Change::Kind::discard) map_.end_use(change.guest_cluster);
    }
    for (const UsedTable& table : tables_) {
        layer.l1[table.l1_index] = table.host_offset | flag_copied;
        *map_.new_table(table.l1_index) = {};
    }
    map_.refcounts().table().end_write(true);
    clear();
}

void CommitPlan::abandon() noexcept {
    for (const Staged& staged : staged_) {
        if (staged.slot != SliceCache::none) map_.cache().unpin(staged.slot);
    }
    for (const std::uint64_t piece : refcount_pieces_)
        map_.refcounts().dirty().set(piece);
    map_.refcounts().table().end_write(false);
    clear();
}

void CommitPlan::clear() noexcept {
    changes_.clear();
    staged_.clear();
    tables_.clear();
    refcount_pieces_.clear();
    clear_writes();
    pieces_ = 0;
    frees_ = false;
}

}  // namespace blktap::qcow2
