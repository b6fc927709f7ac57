// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CommitPlan: what a group of changes writes into an image's tables, and in which order, so that a loss of power at any
// moment leaves an image whose entries lead only to data that is there and clusters that are counted:
//
//   phase 0  what nothing leads to yet and other tables will: new refcount blocks, zeros under new L2 tables; with new
//            blocks all refcounts, which may be theirs
//   phase 1  refcounts, the refcount table, the new L2 tables; the data itself was written before the plan began
//   phase 2  entries of L2 tables and of the L1 table that lead to all that
//
// What a phase has written is made durable before the next one. Clusters that lose their last reference are counted
// as free only when phase 2 is durable. The plan is made of copies: the tables in memory change when it is over, and
// hold what the image holds at any time.
//
// Pure: no I/O; whoever runs a plan writes its pieces and tells how that ended. Tested by
// tests/unit/qcow2/commit_plan_test.cpp and tests/crash/qcow2_crash_test.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "drivers/qcow2/write_map.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap::qcow2 {

class CommitPlan {
  public:
    static constexpr unsigned phases = 3;
    /// Pieces of tables in one plan. A request changes few; discards make many refcounts dirty.
    static constexpr std::size_t writes_max = 1024;
    static constexpr std::size_t changes_max = 512;
    static constexpr std::size_t punches_max = 512;

    struct Write {
        unsigned phase = 0;
        std::uint64_t offset = 0;
        std::span<std::byte> data;
    };
    /// Clusters that the file need not store any more, in bytes.
    struct Punch {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    enum class Added : std::uint8_t { yes, full, missing };

    /// Lifetime: `map` outlives this. Errors: throws std::system_error (ENOMEM).
    explicit CommitPlan(WriteMap& map);

    /// Takes all of a request's changes, or none. missing: the slice at missing_slice() must be read first.
    Added add(std::span<const Change> changes) noexcept;
    std::uint64_t missing_slice() const noexcept { return missing_slice_; }
    /// Adds what the changes need besides: refcounts, tables. After it nothing is added.
    void seal() noexcept;

    bool empty() const noexcept { return writes_.empty(); }
    std::span<const Change> changes() const noexcept { return changes_; }
    /// In order of their phases.
    std::span<const Write> writes() const noexcept { return writes_; }
    /// Clusters lose references: phase 2 must be made durable before finish().
    bool frees() const noexcept { return frees_; }
    /// To be punched once phase 2 is durable.
    std::span<const Punch> punches() const noexcept { return punches_; }

    /// Everything is written: the tables in memory follow. The plan is empty afterwards.
    void finish() noexcept;
    /// A phase before the last one failed: nothing leads to what was written. The plan is empty afterwards; whoever
    /// asked for the changes gives back what it allocated.
    void abandon() noexcept;

  private:
    struct Staged {
        std::uint64_t offset;  ///< of the slice
        std::span<std::byte> data;
        std::uint32_t slot;  ///< in the cache; none: of a new table
    };
    struct UsedTable {
        std::uint64_t l1_index;
        std::uint64_t host_offset;
    };

    bool has_room(std::size_t writes, std::size_t changes) const noexcept;
    std::span<std::byte> new_piece() noexcept;
    void write(unsigned phase, std::uint64_t offset, std::span<std::byte> data) noexcept;
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
    std::uint64_t missing_slice_ = 0;
    bool frees_ = false;
    std::size_t pieces_ = 0;
    std::vector<Change> changes_;
    std::vector<Staged> staged_;
    std::vector<UsedTable> tables_;
    std::vector<Write> writes_;
    std::vector<std::uint64_t> refcount_pieces_;
    std::vector<Punch> punches_;
    Mapping zeros_;    ///< a cluster, which stays the kernel's zero page
    Mapping staging_;  ///< writes_max pieces
};

}  // namespace blktap::qcow2
