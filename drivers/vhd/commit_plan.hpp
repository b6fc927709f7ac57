// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CommitPlan: what a group of changes writes into an image's bitmaps and table, and in which order, so that after a
// loss of power at any moment the image never shows bytes that were not written:
//
//   phase 0  bitmaps of new blocks; no entry points to them yet. The data was written before the plan began
//   phase 1  entries of the table, and bits in the bitmaps of old blocks
//
// Phase 0 and all data are made durable before phase 1 begins.
//
// Tested by tests/unit/vhd/commit_test.cpp and tests/crash/vhd_crash_test.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "drivers/tables/commit_plan.hpp"
#include "drivers/vhd/allocator.hpp"
#include "drivers/vhd/task.hpp"

namespace blktap::vhd {

class CommitPlan final : public tables::CommitPlan {
  public:
    static constexpr unsigned phases = 2;
    static constexpr std::size_t writes_max = 1024;
    /// Memory for all pieces together; the largest bitmap has 64 KiB.
    static constexpr std::size_t staging_bytes = 2U << 20;

    /// Lifetime: all outlive this. Errors: throws std::system_error (ENOMEM).
    CommitPlan(Layer& layer, SliceCache& cache, Allocator& allocator);

    /// `task` is a vhd::Task.
    Added add(const tables::Task& task) noexcept override { return add(static_cast<const Task&>(task).pending()); }
    /// Takes all of these changes, or none.
    Added add(std::span<const Change> changes) noexcept;
    bool is_barrier(unsigned phase) const noexcept override { return phase < last_phase(); }
    void finish() noexcept override;
    void abandon() noexcept override;

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
        std::span<std::byte> bitmap;  ///< including the padding for direct I/O
    };
    struct TableUnit {
        std::uint64_t unit;
        std::span<std::byte> data;
    };

    bool has_room(std::span<const Change> changes) const noexcept;
    bool done(const Change& change) const noexcept;
    bool slices_ready(const Change& change) noexcept;
    std::span<std::byte> new_piece(std::uint64_t bytes) noexcept;
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
};

}  // namespace blktap::vhd
