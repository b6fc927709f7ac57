// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/commit_plan.hpp"

#include <algorithm>
#include <cstring>

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/assert.hpp"

namespace blktap::vhd {

CommitPlan::CommitPlan(Layer& layer, SliceCache& cache, Allocator& allocator)
    : tables::CommitPlan(phases, writes_max),
      layer_(layer),
      cache_(cache),
      allocator_(allocator),
      staging_(Mapping::anonymous(staging_bytes)) {
    slices_.reserve(writes_max);
    blocks_.reserve(writes_max);
    units_.reserve(writes_max);
}

/// Assumes that each change needs pieces of its own: a bitmap and a part of the table, or the slices that it covers.
bool CommitPlan::has_room(std::span<const Change> changes) const noexcept {
    const std::uint64_t unit = layer_.slice_bytes();
    std::size_t writes = 0;
    std::size_t bytes = 0;
    for (const Change& change : changes) {
        const std::uint64_t slices = change.count / 8 / unit + 2;
        writes += slices;
        bytes += slices * unit + round_up(layer_.bitmap_bytes(), unit);
    }
    return writes_.size() + writes <= writes_max && staged_bytes_ + bytes <= staging_bytes;
}

bool CommitPlan::done(const Change& change) const noexcept {
    if (!layer_.allocated(change.block)) return false;
    const std::uint64_t last = layer_.piece_of(change.block, change.first + change.count - 1);
    for (std::uint64_t piece = layer_.piece_of(change.block, change.first); piece <= last; ++piece) {
        if (!layer_.is_full(piece)) return false;
    }
    return true;
}

bool CommitPlan::slices_ready(const Change& change) noexcept {
    const std::uint64_t last = layer_.slice_of(change.block, change.first + change.count - 1);
    for (std::uint64_t at = layer_.slice_of(change.block, change.first); at <= last; at += layer_.slice_bytes()) {
        const std::uint32_t slot = cache_.find({0, at});
        if (slot != SliceCache::none && cache_.ready(slot)) continue;
        missing_slice_ = at;
        return false;
    }
    return true;
}

CommitPlan::Added CommitPlan::add(std::span<const Change> changes) noexcept {
    if (!has_room(changes)) return Added::full;
    bool all_done = true;
    for (const Change& change : changes) {
        if (done(change)) continue;
        all_done = false;
        if (layer_.allocated(change.block) && !slices_ready(change)) return Added::missing;
    }
    if (all_done) return Added::nothing;
    for (const Change& change : changes) {
        if (done(change)) continue;
        if (layer_.allocated(change.block)) {
            set_in_old(change);
        } else {
            set_in_new(change);
        }
    }
    return Added::yes;
}

std::span<std::byte> CommitPlan::new_piece(std::uint64_t bytes) noexcept {
    BLKTAP_ASSERT(staged_bytes_ + bytes <= staging_bytes);
    const auto piece = staging_.bytes().subspan(staged_bytes_, bytes);
    staged_bytes_ += bytes;
    return piece;
}

void CommitPlan::set_in_old(const Change& change) noexcept {
    const std::uint64_t bits_per_slice = layer_.slice_bytes() * 8;
    for (std::uint64_t sector = change.first; sector < change.first + change.count;) {
        Slice& slice = stage_slice(layer_.slice_of(change.block, sector));
        const std::uint64_t bit = layer_.place_in_slice(change.block, sector) * 8 + sector % 8;
        const std::uint64_t count = std::min(change.first + change.count - sector, bits_per_slice - bit);
        set_bits(slice.data, bit, count);
        sector += count;
    }
}

CommitPlan::Slice& CommitPlan::stage_slice(std::uint64_t offset) noexcept {
    const auto found = std::ranges::find(slices_, offset, &Slice::offset);
    if (found != slices_.end()) return *found;
    const Slice slice{offset, new_piece(layer_.slice_bytes()), cache_.find({0, offset})};
    cache_.pin(slice.slot);
    std::memcpy(slice.data.data(), cache_.bytes(slice.slot).data(), slice.data.size());
    slices_.push_back(slice);
    write(1, offset, slice.data);
    return slices_.back();
}

void CommitPlan::set_in_new(const Change& change) noexcept {
    const NewBlock& added = stage_block(change.block);
    // Only a differencing image needs bits: without a parent all bits of a new block are set at once.
    if (!layer_.differencing) return;
    set_bits(added.bitmap.last(layer_.bitmap_bytes()), change.first, change.count);
}

CommitPlan::NewBlock& CommitPlan::stage_block(std::uint64_t block) noexcept {
    const auto found = std::ranges::find(blocks_, block, &NewBlock::block);
    if (found != blocks_.end()) return *found;
    const std::uint64_t offset = allocator_.reserved(block);
    BLKTAP_ASSERT(offset != 0);
    const auto bitmap = new_piece(round_up(layer_.bitmap_bytes(), layer_.slice_bytes()));
    std::ranges::fill(bitmap, std::byte{0});
    if (!layer_.differencing) std::ranges::fill(bitmap.last(layer_.bitmap_bytes()), std::byte{0xff});
    blocks_.push_back({block, offset, bitmap});
    write(0, offset + layer_.bitmap_bytes() - bitmap.size(), bitmap);
    stage_entry(block, offset);
    return blocks_.back();
}

void CommitPlan::stage_entry(std::uint64_t block, std::uint64_t bitmap_offset) noexcept {
    const std::uint64_t unit_bytes = layer_.slice_bytes();
    const std::uint64_t unit = layer_.table.unit_of(block, unit_bytes);
    auto found = std::ranges::find(units_, unit, &TableUnit::unit);
    if (found == units_.end()) {
        const auto data = new_piece(unit_bytes);
        std::ranges::copy(layer_.table.unit_bytes(unit, unit_bytes), data.begin());
        units_.push_back({unit, data});
        write(1, layer_.table.unit_offset(unit, unit_bytes), data);
        found = units_.end() - 1;
    }
    store<std::uint32_t>(found->data, layer_.table.place_in_unit(block, unit_bytes),
                         static_cast<std::uint32_t>(bitmap_offset / sector_size_bytes));
}

/// Puts a new block's bitmap into the cache, so that it need not be read.
void CommitPlan::keep_bitmap(const NewBlock& added) noexcept {
    const std::uint64_t unit = layer_.slice_bytes();
    const std::uint64_t begin = added.bitmap_offset + layer_.bitmap_bytes() - added.bitmap.size();
    for (std::uint64_t at = 0; at < added.bitmap.size(); at += unit) {
        const std::uint32_t slot = cache_.insert({0, begin + at});
        if (slot == SliceCache::none) return;  // the bitmap will be read when it is needed
        std::memcpy(cache_.bytes(slot).data(), added.bitmap.data() + at, unit);
        cache_.loaded(slot);
    }
}

void CommitPlan::finish() noexcept {
    for (const Slice& slice : slices_) {
        cache_.unpin(slice.slot);
        std::memcpy(cache_.bytes(slice.slot).data(), slice.data.data(), slice.data.size());
    }
    for (const NewBlock& added : blocks_) {
        layer_.table.set_entry(added.block, static_cast<std::uint32_t>(added.bitmap_offset / sector_size_bytes));
        allocator_.forget(added.block);
        if (layer_.differencing) {
            keep_bitmap(added);
            continue;
        }
        const std::uint64_t last = layer_.piece_of(added.block, layer_.block_sectors() - 1);
        for (std::uint64_t piece = layer_.piece_of(added.block, 0); piece <= last; ++piece)
            layer_.set_full(piece);
    }
    clear();
}

void CommitPlan::abandon() noexcept {
    for (const Slice& slice : slices_)
        cache_.unpin(slice.slot);
    clear();
}

void CommitPlan::clear() noexcept {
    slices_.clear();
    blocks_.clear();
    units_.clear();
    clear_writes();
    staged_bytes_ = 0;
}

}  // namespace blktap::vhd
