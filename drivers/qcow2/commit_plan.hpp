// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CommitPlan: what a group of changes writes into an image's tables, and in which order, so that after a loss of power
// at any moment the image's entries point only to written data and counted clusters:
//
//   phase 0  pieces that later phases point to: new refcount blocks, zeros under new L2 tables; with new blocks all
//            refcounts, which may count these blocks
//   phase 1  refcounts, the refcount table, the new L2 tables; the data itself was written before the plan began
//   phase 2  entries of L2 tables and of the L1 table that point to all of these
//
// The writes of a phase are made durable before the next one. Clusters that lose their last reference count as free
// only when phase 2 is durable.
//
// Tested by tests/unit/qcow2/commit_plan_test.cpp and tests/crash/qcow2_crash_test.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "drivers/qcow2/task.hpp"
#include "drivers/qcow2/write_map.hpp"
#include "drivers/tables/commit_plan.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap::qcow2 {

class CommitPlan final : public tables::CommitPlan {
  public:
    static constexpr unsigned phases = 3;
    /// Most pieces of tables in one plan. A request changes few; discards make many refcounts dirty.
    static constexpr std::size_t writes_max = 1024;
    static constexpr std::size_t changes_max = 512;
    static constexpr std::size_t punches_max = 512;

    /// Lifetime: `map` outlives this. Errors: throws std::system_error (ENOMEM).
    explicit CommitPlan(WriteMap& map);

    /// `task` is a qcow2::Task.
    Added add(const tables::Task& task) noexcept override { return add(static_cast<const Task&>(task).pending()); }
    /// Takes all of these changes, or none.
    Added add(std::span<const Change> changes) noexcept;
    /// Adds refcounts and tables.
    void seal() noexcept override;
    bool is_barrier(unsigned phase) const noexcept override;
    void finish() noexcept override;
    void abandon() noexcept override;

    std::span<const Change> changes() const noexcept { return changes_; }
    /// Whether clusters lose references: then the last phase must be durable before finish().
    bool frees() const noexcept { return frees_; }

  private:
    struct Staged {
        std::uint64_t offset;  ///< of the slice
        std::span<std::byte> data;
        std::uint32_t slot;  ///< in the cache; none for a new table
    };
    struct UsedTable {
        std::uint64_t l1_index;
        std::uint64_t host_offset;
    };

    bool has_room(std::size_t writes, std::size_t changes) const noexcept;
    std::span<std::byte> new_piece() noexcept;
    Staged& stage(const Change& change) noexcept;
    void note_old(const Change& change, std::uint64_t guest_cluster, const RawEntry& old_entry,
                  const RawEntry& new_entry) noexcept;
    void note_punch(std::uint64_t offset) noexcept;
    void note_table(std::uint64_t guest_cluster) noexcept;
    void add_l1() noexcept;
    void add_refcounts() noexcept;
    void drop_old(const RawEntry& old_entry, const RawEntry& new_entry, bool hold) noexcept;
    void apply(const Staged& staged) noexcept;
    void clear() noexcept;

    WriteMap& map_;
    bool frees_ = false;
    std::size_t pieces_ = 0;
    std::vector<Change> changes_;
    std::vector<Staged> staged_;
    std::vector<UsedTable> tables_;
    std::vector<std::uint64_t> refcount_pieces_;
    Mapping zeros_;    ///< a cluster of zeros, never written, so it takes no memory
    Mapping staging_;  ///< writes_max pieces
};

}  // namespace blktap::qcow2
