// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Refcounts: how often each cluster of a writable image's file is referred to, and so which are free. All of it is in
// memory, a few bits for each cluster, because every allocation decides on it in the ring's thread; the image's
// refcount blocks are brought up to date piece by piece, by whoever commits.
//
// Three things are known of a cluster: its count; whether it is metadata, so that no damaged table can send a guest's
// data there; and whether it is held, that is free but not to be used again while this image is open, because a request
// may still be reading its former contents.
//
// Pure: no I/O. Tested by tests/unit/qcow2/refcounts_test.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "drivers/qcow2/metadata/cluster_bits.hpp"
#include "drivers/qcow2/metadata/refcount_table.hpp"
#include "drivers/shared/memory_budget.hpp"
#include "libblktap/base/mapping.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {

class Refcounts {
  public:
    struct Geometry {
        unsigned cluster_bits = 16;
        unsigned order = 4;              ///< a refcount has 2^order bits
        std::uint64_t clusters_max = 0;  ///< the file never has more clusters
        std::uint64_t table_offset = 0;  ///< of the refcount table in the file
        /// The clusters from here on were never written: they read as zeros; UINT64_MAX: none.
        std::uint64_t fresh_from = 0;

        /// What is written of a block, or of the table, at once.
        std::uint64_t piece_bytes() const noexcept;
        std::uint64_t clusters_per_piece() const noexcept { return piece_bytes() * 8 >> order; }
        std::uint64_t pieces_per_block() const noexcept { return (1ULL << cluster_bits) / piece_bytes(); }
        std::uint64_t clusters_per_block() const noexcept { return 8ULL << cluster_bits >> order; }
    };
    /// Clusters of the file, [first, first + count).
    struct Run {
        std::uint64_t first = 0;
        std::uint64_t count = 0;
        bool fresh = false;  ///< they read as zeros
    };

    /// All clusters are free. `table`: the entries of the refcount table, offsets of blocks. What they take in memory,
    /// and may come to take, is counted in `memory` for the image `name` before; it outlives this. Null: nobody counts.
    /// Errors: throws std::system_error (ENOMEM; what MemoryBudget::take() throws).
    Refcounts(const Geometry& geometry, std::vector<std::uint64_t> table, MemoryBudget* memory = nullptr,
              std::string name = {});

    /// The file may have `clusters` clusters from now on, if that is more. False: the table does not reach so far.
    /// Errors: throws std::system_error (ENOMEM; what MemoryBudget::take() throws).
    bool extend(std::uint64_t clusters);
    /// Takes the counts that block `index` of the table has. False: a count is impossible: of a cluster behind
    /// clusters_max, or more than 65,536. Errors: throws what MemoryBudget::take() does.
    bool load_block(std::uint64_t index, std::span<const std::byte> block);
    /// One more reference. For repairs. False: more than the width of a count can say, or than 65,536. Errors: throws
    /// what MemoryBudget::take() does.
    bool add_reference(std::uint64_t cluster);
    /// Takes free clusters for metadata where nothing was ever stored, beside each other, whether or not blocks count
    /// them; make_missing_blocks() sees to those. The first of them; nothing when there are not so many.
    std::optional<std::uint64_t> take_fresh(std::uint64_t count) noexcept;
    /// From here on are none but clusters that take_fresh() may take.
    std::uint64_t fresh_begin() const noexcept { return std::max(end_, geometry_.fresh_from); }
    /// Every cluster in use gets a block that counts it. False: the table is too short.
    bool make_missing_blocks() noexcept;
    /// False: one of them is marked already.
    bool mark_metadata(std::uint64_t first, std::uint64_t count) noexcept;

    std::uint64_t count(std::uint64_t cluster) const noexcept;
    bool used(std::uint64_t cluster) const noexcept { return cluster < clusters_max() && used_[cluster]; }
    bool metadata(std::uint64_t cluster) const noexcept { return metadata_[cluster]; }
    /// One past the last cluster in use.
    std::uint64_t end() const noexcept { return end_; }
    std::uint64_t clusters_max() const noexcept { return geometry_.clusters_max; }

    /// Up to `wanted` free clusters beside each other, at least one, with a count of 1; nothing when the image is as
    /// large as its refcount table can describe. May take further clusters for refcount blocks.
    std::optional<Run> allocate(std::uint64_t wanted) noexcept;
    /// One cluster for metadata, where clusters were never used if the file can grow.
    std::optional<Run> allocate_metadata() noexcept;
    /// Gives back what nothing on disk refers to.
    void release(std::uint64_t first, std::uint64_t count) noexcept;
    /// One reference less, which is on disk. `hold`: is not to be used again before the image is reopened.
    void drop(std::uint64_t cluster, bool hold) noexcept;

    // Bringing the image up to date, in pieces of piece_bytes().
    std::uint64_t piece_bytes() const noexcept { return geometry_.piece_bytes(); }
    /// Pieces whose counts are not in the file.
    CountedBits& dirty() noexcept { return dirty_; }
    const CountedBits& dirty() const noexcept { return dirty_; }
    /// Every piece of the blocks that there are, for a repair.
    void mark_all_dirty() noexcept;
    std::uint64_t piece_offset(std::uint64_t piece) const noexcept;
    void encode_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept;
    /// The table on disk does not lead to this piece's block yet: the piece is written before the table.
    bool in_new_block(std::uint64_t piece) const noexcept;

    /// The block that counts `cluster`, which is in use: its offset in the file.
    std::uint64_t block_of(std::uint64_t cluster) const noexcept {
        return table_.entries()[cluster / geometry_.clusters_per_block()];
    }
    RefcountTable& table() noexcept { return table_; }
    const RefcountTable& table() const noexcept { return table_; }
    /// The counts of these clusters are in the file, and the table there leads to them.
    bool written(std::uint64_t first, std::uint64_t count) const noexcept;

  private:
    static std::uint64_t bitmap_bytes(const Geometry& geometry) noexcept;
    void count_memory(std::uint64_t bytes);
    void set_further(std::uint64_t cluster, std::uint64_t references);
    std::uint64_t find_free(std::uint64_t from) const noexcept;
    bool free(std::uint64_t cluster) const noexcept;
    void take(std::uint64_t cluster) noexcept;
    void use_as_block(std::uint64_t block, std::uint64_t cluster) noexcept;
    bool make_block_for(std::uint64_t cluster) noexcept;
    std::optional<Run> allocate_from(std::uint64_t from, std::uint64_t wanted) noexcept;
    void lower_end() noexcept;

    MemoryBudget* const memory_;
    const std::string name_;
    Geometry geometry_;
    std::uint64_t limit_;  ///< clusters that may be given; blocks may count some more
    RefcountTable table_;
    ClusterBits used_, held_, metadata_;
    CountedBits dirty_;
    LazyArray<std::uint16_t> further_;  ///< references besides the first
    ClusterBits further_pages_;         ///< of further_, that are in memory
    std::uint64_t further_bytes_ = 0;   ///< of these
    std::uint64_t hint_ = 0;            ///< no free cluster is before it
    std::uint64_t end_ = 0;
};

}  // namespace blktap::qcow2
