// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RefcountTable: where the refcount blocks of an image are, and which of them its table on disk does not lead to yet.
// It is brought up to date in pieces of piece_bytes(), by whoever commits: first the blocks, then the table that names
// them.
//
// Pure: no I/O. Tested by tests/unit/qcow2/refcounts_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace blktap::qcow2 {

class RefcountTable {
  public:
    /// `entries`: offsets of blocks, as the table at `offset` in the file has them. Errors: throws std::bad_alloc.
    RefcountTable(std::uint64_t offset, std::vector<std::uint64_t> entries, std::uint64_t piece_bytes);

    std::uint64_t offset() const noexcept { return offset_; }
    /// Offsets of blocks in the file, new ones too; 0: there is none.
    std::span<const std::uint64_t> entries() const noexcept { return entries_; }
    std::uint64_t size() const noexcept { return entries_.size(); }
    /// The table is at `offset` from now on, where it has `entries`, at least as many as now. Errors: as above.
    void move(std::uint64_t offset, std::uint64_t entries);
    /// Makes the cluster at `offset` block number `block`, which there was not.
    void add(std::uint64_t block, std::uint64_t offset) noexcept;

    /// The table on disk does not lead to the block.
    bool is_new(std::uint64_t block) const noexcept { return states_[block] != State::on_disk; }
    bool has_new() const noexcept { return new_blocks_ > 0; }
    /// What the table in the file has for a block; 0 while it leads to none.
    std::uint64_t entry_on_disk(std::uint64_t block) const noexcept { return is_new(block) ? 0 : entries_[block]; }

    /// Calls `visit(piece)` for each piece with entries of new blocks before `file_end`, in bytes, which are then being
    /// written.
    template <class Visit>
    void begin_write(std::uint64_t file_end, Visit visit) noexcept {
        const std::uint64_t per_piece = piece_bytes_ / 8;
        // Whole pieces at a time: what is visited has all of its entries.
        for (std::uint64_t first = 0; new_blocks_ > 0 && first < entries_.size(); first += per_piece) {
            if (begin_entries(first, std::min<std::uint64_t>(first + per_piece, entries_.size()), file_end))
                visit(first / per_piece);
        }
    }
    void end_write(bool successful) noexcept;
    std::uint64_t piece_offset(std::uint64_t piece) const noexcept { return offset_ + piece * piece_bytes_; }
    /// Without the entries of new blocks that are not being written.
    void encode_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept;

    std::uint64_t memory_bytes() const noexcept {
        return entries_.capacity() * sizeof(entries_[0]) + states_.capacity();
    }

  private:
    enum class State : std::uint8_t { on_disk, fresh, being_written };
    bool begin_entries(std::uint64_t first, std::uint64_t end, std::uint64_t file_end) noexcept;

    std::uint64_t offset_;
    std::vector<std::uint64_t> entries_;
    std::vector<State> states_;
    std::uint64_t piece_bytes_;
    std::uint64_t new_blocks_ = 0;  ///< that are not on_disk
};

}  // namespace blktap::qcow2
