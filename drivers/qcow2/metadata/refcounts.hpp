// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Refcounts: the number of references to each cluster of a writable image's file, and so which clusters are free. All
// counts are in memory, a few bits for each cluster, because every allocation in the ring's thread needs them; commits
// update the image's refcount blocks piece by piece.
//
// For each cluster three facts are kept: its count; whether it is metadata, so that no damaged table can send a guest's
// data there; and whether it is held: free, but not to be reused while this image is open, because a request may still
// be reading its old contents.
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
        /// Clusters from here on were never written and read as zeros; UINT64_MAX: none.
        std::uint64_t fresh_from = 0;

        /// Unit in which blocks and the table are written.
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

    /// Makes counts with all clusters free. `table`: the entries of the refcount table, offsets of blocks. `memory`,
    /// which outlives this, counts the most memory that the counts may take, for the image `name`; null: not counted.
    /// Errors: throws std::system_error (ENOMEM; those of MemoryBudget::take()).
    Refcounts(const Geometry& geometry, std::vector<std::uint64_t> table, MemoryBudget* memory = nullptr,
              std::string name = {});

    /// Raises the limit of the file to `clusters` clusters, if that is more. Returns false if the table is too short.
    /// Errors: throws std::system_error (ENOMEM; those of MemoryBudget::take()).
    bool extend(std::uint64_t clusters);
    /// Loads the counts of block `index` of the table. Returns false for an impossible count: of a cluster behind
    /// clusters_max, or above 65,536. Errors: throws those of MemoryBudget::take().
    bool load_block(std::uint64_t index, std::span<const std::byte> block);
    /// Adds a reference. For repairs. Returns false if the count exceeds its width, or 65,536. Errors: throws those of
    /// MemoryBudget::take().
    bool add_reference(std::uint64_t cluster);
    /// Takes `count` contiguous, never used clusters for metadata, whether or not blocks count them;
    /// make_missing_blocks() makes these blocks. Returns the first cluster of the run, or nullopt if there is no run
    /// that long.
    std::optional<std::uint64_t> take_fresh(std::uint64_t count) noexcept;
    /// The first cluster from which on take_fresh() may take all.
    std::uint64_t fresh_begin() const noexcept { return std::max(end_, geometry_.fresh_from); }
    /// Makes a block for every cluster in use that has none. Returns false if the table is too short.
    bool make_missing_blocks() noexcept;
    /// Marks clusters as metadata. Returns false if one of them is marked already.
    bool mark_metadata(std::uint64_t first, std::uint64_t count) noexcept;

    std::uint64_t count(std::uint64_t cluster) const noexcept;
    bool used(std::uint64_t cluster) const noexcept { return cluster < clusters_max() && used_[cluster]; }
    bool metadata(std::uint64_t cluster) const noexcept { return metadata_[cluster]; }
    /// One past the last cluster in use.
    std::uint64_t end() const noexcept { return end_; }
    std::uint64_t clusters_max() const noexcept { return geometry_.clusters_max; }

    /// Allocates up to `wanted` contiguous clusters, at least one, with a count of 1; returns nullopt if the image is
    /// as large as its refcount table can describe. May take further clusters for refcount blocks.
    std::optional<Run> allocate(std::uint64_t wanted) noexcept;
    /// Allocates one cluster for metadata; if the file can grow, one that was never used.
    std::optional<Run> allocate_metadata() noexcept;
    /// Frees clusters to which nothing on disk refers.
    void release(std::uint64_t first, std::uint64_t count) noexcept;
    /// Removes a reference that was on disk. `hold`: the cluster must not be reused before the image is reopened.
    void drop(std::uint64_t cluster, bool hold) noexcept;

    // Updating the image, in pieces of piece_bytes().
    std::uint64_t piece_bytes() const noexcept { return geometry_.piece_bytes(); }
    /// Pieces whose counts are not in the file yet.
    CountedBits& dirty() noexcept { return dirty_; }
    const CountedBits& dirty() const noexcept { return dirty_; }
    /// Marks every piece of all existing blocks as dirty, for a repair.
    void mark_all_dirty() noexcept;
    std::uint64_t piece_offset(std::uint64_t piece) const noexcept;
    void encode_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept;
    /// Whether the table on disk does not name this piece's block yet: then the piece is written before the table.
    bool in_new_block(std::uint64_t piece) const noexcept;

    /// Returns the offset in the file of the block that counts `cluster`, which is in use.
    std::uint64_t block_of(std::uint64_t cluster) const noexcept {
        return table_.entries()[cluster / geometry_.clusters_per_block()];
    }
    RefcountTable& table() noexcept { return table_; }
    const RefcountTable& table() const noexcept { return table_; }
    /// Whether the counts of these clusters are in the file, in blocks that the table there names.
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
    std::uint64_t limit_;  ///< clusters that may be allocated; blocks may count some more
    RefcountTable table_;
    ClusterBits used_, held_, metadata_;
    CountedBits dirty_;
    LazyArray<std::uint16_t> further_;  ///< references besides the first
    ClusterBits further_pages_;         ///< pages of further_ that are in memory
    std::uint64_t further_bytes_ = 0;   ///< size of these pages
    std::uint64_t hint_ = 0;            ///< there is no free cluster before this one
    std::uint64_t end_ = 0;
};

}  // namespace blktap::qcow2
