// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CommitPlan: what a group of changes writes into an image's tables, and in which phases. A format says what each phase
// holds, so that a loss of power at any moment leaves an image that never shows what was not written. A plan is made of
// copies: the tables in memory change when it is over, and hold what the image holds at any time.
//
// Pure: no I/O; the Committer writes a plan's pieces and tells how that ended.
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
    /// What the file with the guest's data need not store any more, in bytes.
    struct Punch {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    enum class Added : std::uint8_t {
        yes,
        nothing,  ///< all of it is in the image already
        full,
        missing,  ///< the slice at missing_slice() must be read first
    };

    CommitPlan(const CommitPlan&) = delete;
    CommitPlan& operator=(const CommitPlan&) = delete;
    virtual ~CommitPlan() = default;

    /// Takes all changes of `task`, or none.
    virtual Added add(const Task& task) noexcept = 0;
    /// Adds what the changes need besides. After it nothing is added.
    virtual void seal() noexcept {}
    /// What `phase` has written must be durable before anything that comes after it.
    virtual bool is_barrier(unsigned phase) const noexcept = 0;
    /// Everything is written: the tables in memory follow. The plan is empty afterwards.
    virtual void finish() noexcept = 0;
    /// A phase before the last one failed: nothing leads to what was written. The plan is empty afterwards; who asked
    /// for the changes gives back what it allocated.
    virtual void abandon() noexcept = 0;

    unsigned last_phase() const noexcept { return last_phase_; }
    /// Writes that a plan has at most.
    std::size_t capacity() const noexcept { return capacity_; }
    std::uint64_t missing_slice() const noexcept { return missing_slice_; }
    bool empty() const noexcept { return writes_.empty(); }
    std::span<const Write> writes() const noexcept { return writes_; }
    /// To be punched once the last phase is durable.
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
