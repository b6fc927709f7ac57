// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CommitPlan: what a group of changes writes into an image's bitmaps and table, and in which order, so that a loss of
// power at any moment leaves an image that never shows what was not written:
//
//   phase 0  bitmaps of new blocks; nothing leads to them yet. The data itself was written before the plan began
//   phase 1  entries of the table, and bits in the bitmaps of blocks that were there
//
// Phase 0 and all data are made durable before phase 1 begins. The plan is made of copies: what is in memory changes
// when it is over, and holds what the image holds at any time.
//
// Pure: no I/O; whoever runs a plan writes its pieces and tells how that ended. Tested by
// tests/unit/vhd/commit_test.cpp and tests/crash/vhd_crash_test.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "drivers/vhd/allocator.hpp"
#include "drivers/vhd/task.hpp"

namespace blktap::vhd {

class CommitPlan {
  public:
    static constexpr unsigned phases = 2;
    static constexpr std::size_t writes_max = 1024;
    /// Of all pieces together; the largest bitmap has 64 KiB.
    static constexpr std::size_t staging_bytes = 2U << 20;

    struct Write {
        unsigned phase = 0;
        std::uint64_t offset = 0;
        std::span<std::byte> data;
    };
    enum class Added : std::uint8_t {
        yes,
        nothing,  ///< all of it is in the image already
        full,
        missing,  ///< the slice at missing_slice() must be read first
    };

    /// Lifetime: all outlive this. Errors: throws std::system_error (ENOMEM).
    CommitPlan(Layer& layer, SliceCache& cache, Allocator& allocator);

    /// Takes all of a request's changes, or none.
    Added add(std::span<const Change> changes) noexcept;
    std::uint64_t missing_slice() const noexcept { return missing_slice_; }

    bool empty() const noexcept { return writes_.empty(); }
    std::span<const Write> writes() const noexcept { return writes_; }

    /// All is in the file: memory follows.
    void finish() noexcept;
    /// Nothing that leads anywhere was written.
    void abandon() noexcept;

  private:
    /// A piece of an old block's bitmap.
    struct Slice {
        std::uint64_t offset;
        std::span<std::byte> data;
        std::uint32_t slot;
    };
    struct NewBlock {
        std::uint64_t block;
        std::uint64_t bitmap_offset;
        std::span<std::byte> bitmap;  ///< with what direct I/O wants around it
    };
    struct TableUnit {
        std::uint64_t unit;
        std::span<std::byte> data;
    };

    bool has_room(std::span<const Change> changes) const noexcept;
    bool done(const Change& change) const noexcept;
    bool slices_ready(const Change& change) noexcept;
    std::span<std::byte> new_piece(std::uint64_t bytes) noexcept;
    void write(unsigned phase, std::uint64_t offset, std::span<std::byte> data) noexcept;
    void set_in_old(const Change& change) noexcept;
    Slice& stage_slice(std::uint64_t offset) noexcept;
    void set_in_new(const Change& change) noexcept;
    NewBlock& stage_block(std::uint64_t block) noexcept;
    void stage_entry(std::uint64_t block, std::uint64_t bitmap_offset) noexcept;
    void keep_bitmap(const NewBlock& added) noexcept;
    void clear() noexcept;

    Layer& layer_;
    SliceCache& cache_;
    Allocator& allocator_;
    Mapping staging_;
    std::size_t staged_bytes_ = 0;
    std::vector<Slice> slices_;
    std::vector<NewBlock> blocks_;
    std::vector<TableUnit> units_;
    std::vector<Write> writes_;
    std::uint64_t missing_slice_ = 0;
};

}  // namespace blktap::vhd
