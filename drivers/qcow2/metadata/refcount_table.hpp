// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RefcountTable: the offsets of an image's refcount blocks, and which of them the table on disk does not name yet. A
// commit updates the table on disk in pieces of piece_bytes(): first the blocks, then the table that names them.
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
    /// Offsets of blocks in the file, including new ones; 0: there is none.
    std::span<const std::uint64_t> entries() const noexcept { return entries_; }
    std::uint64_t size() const noexcept { return entries_.size(); }
    /// Moves the table to `offset`, with `entries`, at least as many as now. Errors: as above.
    void move(std::uint64_t offset, std::uint64_t entries);
    /// Adds the missing block number `block`, in the cluster at `offset`.
    void add(std::uint64_t block, std::uint64_t offset) noexcept;

    /// Whether the table on disk does not name the block yet.
    bool is_new(std::uint64_t block) const noexcept { return states_[block] != State::on_disk; }
    bool has_new() const noexcept { return new_blocks_ > 0; }
    /// The entry of a block in the table on disk; 0 while it has none.
    std::uint64_t entry_on_disk(std::uint64_t block) const noexcept { return is_new(block) ? 0 : entries_[block]; }

    /// Calls `visit(piece)` for each piece with entries of new blocks before `file_end`, in bytes, and marks these as
    /// being written.
    template <class Visit>
    void begin_write(std::uint64_t file_end, Visit visit) noexcept {
        const std::uint64_t per_piece = piece_bytes_ / 8;
        // Whole pieces at a time, so that a visited piece has all of its entries.
        for (std::uint64_t first = 0; new_blocks_ > 0 && first < entries_.size(); first += per_piece) {
            if (begin_entries(first, std::min<std::uint64_t>(first + per_piece, entries_.size()), file_end))
                visit(first / per_piece);
        }
    }
    void end_write(bool successful) noexcept;
    std::uint64_t piece_offset(std::uint64_t piece) const noexcept { return offset_ + piece * piece_bytes_; }
    /// Encodes a piece, without the entries of new blocks that are not being written.
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
    std::uint64_t new_blocks_ = 0;  ///< number of blocks that are not on_disk
};

}  // namespace blktap::qcow2
