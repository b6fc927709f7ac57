// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/refcounts.hpp"

#include <algorithm>
#include <bit>

#include "drivers/qcow2/metadata/stored_counts.hpp"
#include "drivers/shared/slice_cache.hpp"
#include "libblktap/base/assert.hpp"

namespace blktap::qcow2 {
namespace {

/// Rounds the counted clusters up to whole blocks, so that pieces of blocks are never cut.
Refcounts::Geometry whole_blocks(Refcounts::Geometry geometry) noexcept {
    geometry.clusters_max = round_up(geometry.clusters_max, geometry.clusters_per_block());
    return geometry;
}

constexpr std::uint64_t further_max = UINT16_MAX;

}  // namespace

std::uint64_t Refcounts::Geometry::piece_bytes() const noexcept {
    return std::min<std::uint64_t>(1ULL << cluster_bits, SliceCache::slice_bytes_max);
}

/// The most memory that a guest can cause by writing: three bits for each cluster, and less for each piece of a block.
std::uint64_t Refcounts::bitmap_bytes(const Geometry& geometry) noexcept {
    return ClusterBits::bytes_for(geometry.clusters_max) * 3 + page_size_bytes;
}

void Refcounts::count_memory(std::uint64_t bytes) {
    if (memory_ != nullptr) memory_->take(bytes, name_, "its refcounts");
}

/// Sets a count above 1. These are rare in a writable image, so their memory is allocated page by page.
void Refcounts::set_further(std::uint64_t cluster, std::uint64_t references) {
    const std::uint64_t page = cluster * sizeof(std::uint16_t) / page_size_bytes;
    if (!further_pages_[page]) {
        count_memory(page_size_bytes);
        further_bytes_ += page_size_bytes;
        further_pages_.set(page, true);
    }
    further_[cluster] = static_cast<std::uint16_t>(references);
}

Refcounts::Refcounts(const Geometry& geometry, std::vector<std::uint64_t> table, MemoryBudget* memory, std::string name)
    : memory_(memory),
      name_(std::move(name)),
      geometry_(whole_blocks(geometry)),
      limit_(geometry.clusters_max),
      table_(geometry.table_offset, std::move(table), geometry.piece_bytes()),
      used_(geometry_.clusters_max),
      held_(geometry_.clusters_max),
      metadata_(geometry_.clusters_max),
      dirty_(geometry_.clusters_max / geometry_.clusters_per_piece()),
      further_(geometry_.clusters_max),
      further_pages_(geometry_.clusters_max * sizeof(std::uint16_t) / page_size_bytes) {
    // The memory is only reserved here; the kernel allocates it as it is used.
    count_memory(bitmap_bytes(geometry_) + table_.memory_bytes());
}

bool Refcounts::extend(std::uint64_t clusters) {
    Geometry larger = geometry_;
    larger.clusters_max = clusters;
    larger = whole_blocks(larger);
    if (larger.clusters_max / geometry_.clusters_per_block() > table_.size()) return false;
    limit_ = std::max(limit_, clusters);
    if (larger.clusters_max <= geometry_.clusters_max) return true;
    // For a moment both exist.
    std::optional<BorrowedMemory> both;
    if (memory_ != nullptr) both.emplace(*memory_, bitmap_bytes(larger) + further_bytes_, name_, "its refcounts");
    ClusterBits used = used_.larger(larger.clusters_max);
    ClusterBits held = held_.larger(larger.clusters_max);
    ClusterBits metadata = metadata_.larger(larger.clusters_max);
    LazyArray<std::uint16_t> further{larger.clusters_max};
    ClusterBits further_pages = further_pages_.larger(larger.clusters_max * sizeof(std::uint16_t) / page_size_bytes);
    // Touch only non-zero counts, or the kernel would allocate all pages.
    for (std::uint64_t cluster = 0; cluster < end_; ++cluster) {
        if (further_[cluster] != 0) further[cluster] = further_[cluster];
    }
    dirty_.grow(larger.clusters_max / geometry_.clusters_per_piece());
    further_ = std::move(further);
    further_pages_ = std::move(further_pages);
    both.reset();
    count_memory(bitmap_bytes(larger) - bitmap_bytes(geometry_));  // a part of the borrowed memory
    used_ = std::move(used);
    held_ = std::move(held);
    metadata_ = std::move(metadata);
    geometry_ = larger;
    return true;
}

bool Refcounts::load_block(std::uint64_t index, std::span<const std::byte> block) {
    const std::uint64_t first = index * geometry_.clusters_per_block();
    for (std::uint64_t i = 0; i < geometry_.clusters_per_block(); ++i) {
        const std::uint64_t count = load_count(block, i, geometry_.order);
        if (count == 0) continue;
        if (first + i >= geometry_.clusters_max || count - 1 > further_max) return false;
        used_.set(first + i, true);
        if (count > 1) set_further(first + i, count - 1);
        end_ = first + i + 1 > end_ ? first + i + 1 : end_;
    }
    return true;
}

bool Refcounts::add_reference(std::uint64_t cluster) {
    BLKTAP_ASSERT(cluster < geometry_.clusters_max);
    const std::uint64_t now = count(cluster) + 1;
    const unsigned bits = 1U << geometry_.order;
    if ((bits < 64 && now >> bits != 0) || now - 1 > further_max) return false;
    used_.set(cluster, true);
    if (now > 1) set_further(cluster, now - 1);
    end_ = std::max(end_, cluster + 1);
    return true;
}

bool Refcounts::mark_metadata(std::uint64_t first, std::uint64_t count) noexcept {
    for (std::uint64_t cluster = first; cluster < first + count; ++cluster) {
        if (metadata(cluster)) return false;
        metadata_.set(cluster, true);
    }
    return true;
}

std::uint64_t Refcounts::count(std::uint64_t cluster) const noexcept {
    return used(cluster) ? further_[cluster] + 1ULL : 0;
}

bool Refcounts::free(std::uint64_t cluster) const noexcept {
    return !used_[cluster] && !held_[cluster];
}

std::uint64_t Refcounts::find_free(std::uint64_t from) const noexcept {
    while (from < geometry_.clusters_max) {
        const std::uint64_t word = (used_.word(from / 64) | held_.word(from / 64)) >> (from % 64);
        const auto taken = static_cast<unsigned>(std::countr_one(word));
        if (taken < 64 - from % 64) return from + taken;
        from = (from / 64 + 1) * 64;
    }
    return geometry_.clusters_max;
}

void Refcounts::take(std::uint64_t cluster) noexcept {
    used_.set(cluster, true);
    dirty_.set(cluster / geometry_.clusters_per_piece());
    end_ = std::max(end_, cluster + 1);
}

void Refcounts::use_as_block(std::uint64_t block, std::uint64_t cluster) noexcept {
    table_.add(block, cluster << geometry_.cluster_bits);
    metadata_.set(cluster, true);
    // In space that was never written, pieces without counts are zeros already.
    if (cluster < geometry_.fresh_from) {
        for (std::uint64_t piece = 0; piece < geometry_.pieces_per_block(); ++piece)
            dirty_.set(block * geometry_.pieces_per_block() + piece);
    }
    geometry_.fresh_from = std::max(geometry_.fresh_from, cluster + 1);
}

/// Makes a block for `cluster`, which is free, and its neighbours.
bool Refcounts::make_block_for(std::uint64_t cluster) noexcept {
    const std::uint64_t block = cluster / geometry_.clusters_per_block();
    if (block >= table_.size()) return false;
    use_as_block(block, cluster);
    take(cluster);
    return true;
}

std::optional<std::uint64_t> Refcounts::take_fresh(std::uint64_t count) noexcept {
    const std::uint64_t first = fresh_begin();
    if (first > geometry_.clusters_max || count > geometry_.clusters_max - first) return std::nullopt;
    for (std::uint64_t cluster = first; cluster < first + count; ++cluster) {
        take(cluster);
        metadata_.set(cluster, true);
    }
    geometry_.fresh_from = first + count;
    return first;
}

bool Refcounts::make_missing_blocks() noexcept {
    for (std::uint64_t block = 0; block * geometry_.clusters_per_block() < end_; ++block) {
        if (block >= table_.size()) return false;
        if (table_.entries()[block] != 0) continue;
        const std::uint64_t first = block * geometry_.clusters_per_block();
        bool counts = false;
        for (std::uint64_t cluster = first; cluster < first + geometry_.clusters_per_block(); ++cluster)
            counts = counts || used_[cluster];
        if (!counts) continue;
        // Preferably a cluster that the new block counts itself; elsewhere another block may be missing.
        std::uint64_t place = find_free(first);
        if (place == geometry_.clusters_max) return false;
        use_as_block(block, place);
        take(place);
        for (std::uint64_t piece = 0; piece < geometry_.pieces_per_block(); ++piece)
            dirty_.set(block * geometry_.pieces_per_block() + piece);
    }
    return true;
}

std::optional<Refcounts::Run> Refcounts::allocate_from(std::uint64_t from, std::uint64_t wanted) noexcept {
    for (std::uint64_t first = find_free(from); first < limit_; first = find_free(first)) {
        const std::uint64_t block = first / geometry_.clusters_per_block();
        if (block >= table_.size()) return std::nullopt;
        if (table_.entries()[block] == 0) {
            if (!make_block_for(first)) return std::nullopt;
            continue;
        }
        // A run lies within the clusters of one block, and is fresh as a whole or not at all.
        const std::uint64_t block_end = std::min((block + 1) * geometry_.clusters_per_block(), limit_);
        const bool fresh = first >= geometry_.fresh_from;
        std::uint64_t limit = std::min(block_end, first + wanted);
        if (!fresh) limit = std::min(limit, geometry_.fresh_from);
        std::uint64_t end = first;
        while (end < limit && free(end))
            take(end++);
        geometry_.fresh_from = std::max(geometry_.fresh_from, end);
        return Run{first, end - first, fresh};
    }
    return std::nullopt;
}

std::optional<Refcounts::Run> Refcounts::allocate(std::uint64_t wanted) noexcept {
    const auto run = allocate_from(hint_, wanted);
    if (run) hint_ = run->first + run->count;
    return run;
}

std::optional<Refcounts::Run> Refcounts::allocate_metadata() noexcept {
    auto run = allocate_from(std::max(hint_, geometry_.fresh_from), 1);
    if (!run) run = allocate(1);
    if (run) metadata_.set(run->first, true);
    return run;
}

void Refcounts::lower_end() noexcept {
    while (end_ > 0 && !used_[end_ - 1]) {
        const bool empty_word = end_ % 64 == 0 && used_.word(end_ / 64 - 1) == 0;
        end_ -= empty_word ? 64 : 1;
    }
}

void Refcounts::release(std::uint64_t first, std::uint64_t count) noexcept {
    for (std::uint64_t cluster = first; cluster < first + count; ++cluster)
        drop(cluster, false);
}

void Refcounts::drop(std::uint64_t cluster, bool hold) noexcept {
    if (!used(cluster)) return;
    dirty_.set(cluster / geometry_.clusters_per_piece());
    if (further_[cluster] > 0) {
        --further_[cluster];
        return;
    }
    used_.set(cluster, false);
    metadata_.set(cluster, false);
    held_.set(cluster, hold);
    if (!hold) hint_ = std::min(hint_, cluster);
    if (cluster + 1 == end_) lower_end();
}

bool Refcounts::written(std::uint64_t first, std::uint64_t count) const noexcept {
    const std::uint64_t end = (first + count - 1) / geometry_.clusters_per_piece() + 1;
    for (std::uint64_t piece = first / geometry_.clusters_per_piece(); piece < end; ++piece) {
        if (dirty_[piece] || in_new_block(piece)) return false;
    }
    return true;
}

void Refcounts::mark_all_dirty() noexcept {
    const std::uint64_t pieces = geometry_.clusters_max / geometry_.clusters_per_piece();
    for (std::uint64_t piece = 0; piece < pieces; ++piece) {
        const std::uint64_t block = piece / geometry_.pieces_per_block();
        if (block < table_.size() && table_.entries()[block] != 0) dirty_.set(piece);
    }
}

std::uint64_t Refcounts::piece_offset(std::uint64_t piece) const noexcept {
    return table_.entries()[piece / geometry_.pieces_per_block()] +
           piece % geometry_.pieces_per_block() * piece_bytes();
}

bool Refcounts::in_new_block(std::uint64_t piece) const noexcept {
    return table_.is_new(piece / geometry_.pieces_per_block());
}

void Refcounts::encode_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept {
    std::ranges::fill(out, std::byte{0});
    const std::uint64_t first = piece * geometry_.clusters_per_piece();
    for (std::uint64_t i = 0; i < geometry_.clusters_per_piece() && first + i < end_; ++i) {
        if (used_[first + i]) store_count(out, i, geometry_.order, count(first + i));
    }
}

}  // namespace blktap::qcow2
