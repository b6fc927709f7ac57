// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WriteMap: what must happen before a piece of the disk can be written or discarded: nothing (its clusters are the
// guest's alone), a change of its L2 entries, or first a read of the slice that tells. And the L2 tables that are to
// be: a table has its place from the moment that somebody needs it, and becomes part of the image with the first commit
// that uses it.
//
// Pure: no I/O. Tested by tests/unit/qcow2/write_map_test.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "drivers/qcow2/layer.hpp"
#include "drivers/qcow2/metadata/refcounts.hpp"

namespace blktap::qcow2 {

/// New entries for clusters of the disk beside each other, all in one slice of an L2 table. Where clusters have
/// subclusters, the first and the last one may get only some.
struct Change {
    enum class Kind : std::uint8_t {
        allocate,  ///< to clusters that were free
        reuse,     ///< to clusters that they had already, of which nothing was to be seen so far
        discard,   ///< to none
    };
    Kind kind = Kind::allocate;
    std::uint64_t guest_cluster = 0;
    std::uint64_t count = 0;
    std::uint64_t host_offset = 0;  ///< of the first one's beginning, in bytes; not for discard
    std::uint32_t first_unit = 0;   ///< of the first cluster, that gets data
    std::uint32_t end_unit = 1;     ///< of the last cluster, behind the last that does

    bool overlaps(std::uint64_t first, std::uint64_t number) const noexcept {
        return first < guest_cluster + count && guest_cluster < first + number;
    }
};

/// What writing or discarding a piece of the disk takes.
struct WriteStep {
    enum class Kind : std::uint8_t {
        in_place,  ///< `length` bytes go to host_offset
        allocate,  ///< `clusters` need clusters of their own
        reuse,     ///< `clusters` have clusters at host_offset (of the first one's beginning) that hold nothing there
        drop,      ///< of a discard: `clusters` are stored somewhere
        nothing,   ///< of a discard: `clusters` are not stored
        missing,   ///< the slice at host_offset must be read first
        invalid,   ///< the tables are damaged here
    };
    Kind kind = Kind::invalid;
    std::uint64_t length = 0;
    std::uint64_t clusters = 0;
    std::uint64_t host_offset = 0;
    std::uint32_t first_unit = 0;  ///< as in Change
    std::uint32_t end_unit = 1;
};

class WriteMap {
  public:
    /// L2 tables that are to be; a whole group of requests may need new ones.
    static constexpr std::size_t new_tables_max = 64;
    struct NewTable {
        std::uint64_t l1_index = 0;
        std::uint64_t host_offset = 0;  ///< 0: this place is free
        std::uint32_t users = 0;        ///< changes that are under way
        bool fresh = false;             ///< reads as zeros
    };

    /// Lifetime: all outlive this. `chain`'s first layer is the one that is written.
    WriteMap(Chain& chain, SliceCache& cache, Refcounts& refcounts) noexcept
        : layer_(chain.front()), cache_(cache), refcounts_(refcounts), has_backing_(chain.size() > 1) {}

    /// For a write of `length` bytes at `offset`: its beginning that is done in one way.
    WriteStep find(std::uint64_t offset, std::uint64_t length) noexcept;
    /// For a discard of `count` whole clusters.
    WriteStep find_discard(std::uint64_t guest_cluster, std::uint64_t count) noexcept;

    /// Sees to it that `guest_cluster` has an L2 table, or will have one; a use of it that end_use() ends. False: no
    /// place for one in the image, or too many that are to be.
    bool begin_use(std::uint64_t guest_cluster) noexcept;
    void end_use(std::uint64_t guest_cluster) noexcept;
    /// The table that is to be for an L1 entry.
    NewTable* new_table(std::uint64_t l1_index) noexcept;
    std::array<NewTable, new_tables_max>& new_tables() noexcept { return new_tables_; }

    /// Where the entry of `guest_cluster` is, or will be: its slice's offset in the file. begin_use() was called, or
    /// there is a table.
    std::uint64_t slice_offset(std::uint64_t guest_cluster) noexcept;
    /// How long the file must be before `change` is made, in bytes: for its clusters, and what tells of them.
    std::uint64_t file_end_for(const Change& change) noexcept;
    /// What the entry `old` becomes. `at`: the how manieth of the change.
    RawEntry new_entry(const Change& change, std::uint64_t at, const RawEntry& old) const noexcept;
    /// The part of the disk that `change` fills, in bytes: whole units.
    std::uint64_t begin_of(const Change& change) const noexcept {
        return (change.guest_cluster << layer_.header.cluster_bits) +
               (std::uint64_t{change.first_unit} << layer_.unit_bits());
    }
    std::uint64_t end_of(const Change& change) const noexcept {
        const std::uint64_t end = ((change.guest_cluster + change.count - 1) << layer_.header.cluster_bits) +
                                  (std::uint64_t{change.end_unit} << layer_.unit_bits());
        // A data file is as long as the disk.
        return layer_.header.external_data() ? std::min(end, layer_.size_bytes) : end;
    }
    /// The guest's clusters are in a file where each has its place: none is allocated.
    bool places_are_fixed() const noexcept { return layer_.header.external_data(); }

    Layer& layer() noexcept { return layer_; }
    SliceCache& cache() noexcept { return cache_; }
    Refcounts& refcounts() noexcept { return refcounts_; }

  private:
    struct Unit {
        WriteStep::Kind kind = WriteStep::Kind::invalid;
        bool whole = false;  ///< with all of its cluster, or not at all
        std::uint64_t host_offset = 0;
    };
    Unit classify(const L2Entry& entry, std::uint64_t unit) const noexcept;
    WriteStep walk(std::uint32_t slot, std::uint64_t offset, std::uint64_t length) noexcept;
    WriteStep span(const Unit& first, std::uint64_t offset, std::uint64_t units, std::uint64_t length) const noexcept;

    Layer& layer_;
    SliceCache& cache_;
    Refcounts& refcounts_;
    const bool has_backing_;
    std::array<NewTable, new_tables_max> new_tables_{};
};

}  // namespace blktap::qcow2
