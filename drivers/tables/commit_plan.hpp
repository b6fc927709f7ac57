// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CommitPlan: what a group of changes writes into an image's tables, and in which phases. A format assigns writes to
// phases so that after a loss of power at any moment the image never shows bytes that were not written. A plan consists
// of copies: the tables in memory change when it is finished, so they always agree with the image.
//
// Pure: no I/O; the Committer writes a plan's pieces and calls finish() or abandon().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "drivers/tables/task.hpp"

namespace blktap::tables {

class CommitPlan {
  public:
    struct Write {
        unsigned phase = 0;
        std::uint64_t offset = 0;
        std::span<std::byte> data;
    };
    /// A range of the file with the guest's data that can be freed, in bytes.
    struct Punch {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    enum class Added : std::uint8_t {
        yes,
        nothing,  ///< the image has all changes already
        full,
        missing,  ///< the slice at missing_slice() must be read first
    };

    CommitPlan(const CommitPlan&) = delete;
    CommitPlan& operator=(const CommitPlan&) = delete;
    virtual ~CommitPlan() = default;

    /// Takes all changes of `task`, or none.
    virtual Added add(const Task& task) noexcept = 0;
    /// Adds further writes that the changes need. No change is added afterwards.
    virtual void seal() noexcept {}
    /// Whether the writes of `phase` must be durable before later ones begin.
    virtual bool is_barrier(unsigned phase) const noexcept = 0;
    /// Call when everything is written: updates the tables in memory. The plan is empty afterwards.
    virtual void finish() noexcept = 0;
    /// Call when a phase before the last one failed: no entry points to the written pieces. The plan is empty
    /// afterwards; the tasks with the changes must free the space that they allocated.
    virtual void abandon() noexcept = 0;

    unsigned last_phase() const noexcept { return last_phase_; }
    /// Most writes of a plan.
    std::size_t capacity() const noexcept { return capacity_; }
    std::uint64_t missing_slice() const noexcept { return missing_slice_; }
    bool empty() const noexcept { return writes_.empty(); }
    std::span<const Write> writes() const noexcept { return writes_; }
    /// Ranges to be punched once the last phase is durable.
    std::span<const Punch> punches() const noexcept { return punches_; }

  protected:
    /// Errors: throws std::bad_alloc.
    CommitPlan(unsigned phases, std::size_t capacity);
    void write(unsigned phase, std::uint64_t offset, std::span<std::byte> data) noexcept;
    bool writes_in(unsigned phase) const noexcept;
    void clear_writes() noexcept;

    std::uint64_t missing_slice_ = 0;
    std::vector<Write> writes_;
    std::vector<Punch> punches_;

  private:
    const unsigned last_phase_;
    const std::size_t capacity_;
};

}  // namespace blktap::tables
