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
        std::uint64_t fresh_from =
            0;  ///< the clusters from here on were never written: they read as zeros; UINT64_MAX: none
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
    /// Moves the table to `offset`, where it has `entries`, at least as many as now.
    void move_table(std::uint64_t offset, std::uint64_t entries);
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
    bool used(std::uint64_t cluster) const noexcept { return cluster < clusters_max() && get(used_, cluster); }
    bool metadata(std::uint64_t cluster) const noexcept { return get(metadata_, cluster); }
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
    std::uint64_t piece_bytes() const noexcept;
    std::size_t dirty_count() const noexcept { return dirty_count_; }
    /// The first dirty piece from `from` on.
    std::optional<std::uint64_t> next_dirty(std::uint64_t from) const noexcept;
    void mark_dirty(std::uint64_t piece) noexcept;
    void clean(std::uint64_t piece) noexcept;
    /// Every piece of the blocks that there are, for a repair.
    void mark_all_dirty() noexcept;
    std::uint64_t piece_offset(std::uint64_t piece) const noexcept;
    void encode_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept;
    /// The table on disk does not lead to this piece's block yet: the piece is written before the table.
    bool in_new_block(std::uint64_t piece) const noexcept;

    /// The block that counts `cluster`, which is in use: its offset in the file.
    std::uint64_t block_of(std::uint64_t cluster) const noexcept { return table_[cluster / clusters_per_block()]; }
    std::span<const std::uint64_t> table() const noexcept { return table_; }
    std::uint64_t table_offset() const noexcept { return geometry_.table_offset; }
    /// What the refcount table in the file has for a block; 0 while it leads to none.
    std::uint64_t table_entry_on_disk(std::uint64_t block) const noexcept {
        return block_states_[block] == BlockState::on_disk ? table_[block] : 0;
    }
    /// The counts of these clusters are in the file, and the table there leads to them.
    bool written(std::uint64_t first, std::uint64_t count) const noexcept;
    bool has_new_blocks() const noexcept { return new_blocks_ > 0; }
    /// Calls `visit(piece)` for each piece of the table with entries of new blocks before `file_end`, in bytes, which
    /// are then being written.
    template <class Visit>
    void begin_table_write(std::uint64_t file_end, Visit visit) noexcept {
        const std::uint64_t per_piece = piece_bytes() / 8;
        // Whole pieces at a time: what is visited has all of its entries.
        for (std::uint64_t first = 0; new_blocks_ > 0 && first < table_.size(); first += per_piece) {
            if (begin_entries(first, std::min<std::uint64_t>(first + per_piece, table_.size()), file_end))
                visit(first / per_piece);
        }
    }
    void end_table_write(bool successful) noexcept;
    std::uint64_t table_piece_offset(std::uint64_t piece) const noexcept;
    /// Without the entries of new blocks that are not being written.
    void encode_table_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept;

  private:
    enum class BlockState : std::uint8_t { on_disk, fresh, being_written };
    using Bits = LazyArray<std::uint64_t>;
    static bool get(const Bits& bits, std::uint64_t at) noexcept { return ((bits[at / 64] >> (at % 64)) & 1) != 0; }
    static void set(const Bits& bits, std::uint64_t at, bool value) noexcept;
    std::uint64_t clusters_per_block() const noexcept { return clusters_per_piece() * pieces_per_block(); }
    std::uint64_t clusters_per_piece() const noexcept { return piece_bytes() * 8 >> geometry_.order; }
    std::uint64_t pieces_per_block() const noexcept;
    static std::uint64_t bitmap_bytes(const Geometry& geometry) noexcept;
    void count_memory(std::uint64_t bytes);
    void set_further(std::uint64_t cluster, std::uint64_t references);
    std::uint64_t find_free(std::uint64_t from) const noexcept;
    bool free(std::uint64_t cluster) const noexcept;
    void take(std::uint64_t cluster) noexcept;
    bool begin_entries(std::uint64_t first, std::uint64_t end, std::uint64_t file_end) noexcept;
    void use_as_block(std::uint64_t block, std::uint64_t cluster) noexcept;
    bool make_block_for(std::uint64_t cluster) noexcept;
    std::optional<Run> allocate_from(std::uint64_t from, std::uint64_t wanted) noexcept;
    void lower_end() noexcept;

    MemoryBudget* const memory_;
    const std::string name_;
    Geometry geometry_;
    std::uint64_t limit_;  ///< clusters that may be given; blocks may count some more
    std::vector<std::uint64_t> table_;
    std::vector<BlockState> block_states_;
    std::uint64_t new_blocks_ = 0;  ///< that are not on_disk
    Bits used_, held_, metadata_, dirty_;
    LazyArray<std::uint16_t> further_;  ///< references besides the first
    Bits further_pages_;                ///< of further_, that are in memory
    std::uint64_t further_bytes_ = 0;   ///< of these
    std::uint64_t hint_ = 0;            ///< no free cluster is before it
    std::uint64_t end_ = 0;
    std::size_t dirty_count_ = 0;
};

}  // namespace blktap::qcow2
