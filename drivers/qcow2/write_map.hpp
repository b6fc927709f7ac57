// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WriteMap: what must happen before a part of the disk can be written or discarded: nothing (its clusters are the
// guest's alone), a change of its L2 entries, or first a read of their slice. It also keeps new L2 tables: a table gets
// its offset when it is first needed, and becomes part of the image with the first commit that uses it.
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

/// New entries for contiguous clusters of the disk, all in one slice of an L2 table. If clusters have subclusters, the
/// first and the last cluster may get only some.
struct Change {
    enum class Kind : std::uint8_t {
        allocate,  ///< entries get free clusters
        reuse,     ///< entries keep their clusters, whose contents were not visible so far
        discard,   ///< entries lose their clusters
    };
    Kind kind = Kind::allocate;
    std::uint64_t guest_cluster = 0;
    std::uint64_t count = 0;
    std::uint64_t host_offset = 0;  ///< of the first cluster's beginning, in bytes; not for discard
    std::uint32_t first_unit = 0;   ///< first unit of the first cluster that gets data
    std::uint32_t end_unit = 1;     ///< end of the units of the last cluster that get data

    bool overlaps(std::uint64_t first, std::uint64_t number) const noexcept {
        return first < guest_cluster + count && guest_cluster < first + number;
    }
};

/// The first step of writing or discarding a part of the disk.
struct WriteStep {
    enum class Kind : std::uint8_t {
        in_place,  ///< `length` bytes go to host_offset
        allocate,  ///< `clusters` need new clusters
        reuse,     ///< `clusters` have clusters at host_offset (of the first one's beginning), not visible so far
        drop,      ///< discard: `clusters` are stored
        nothing,   ///< discard: `clusters` are not stored
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
    /// Most new L2 tables at once; each request of a group may need one.
    static constexpr std::size_t new_tables_max = 64;
    struct NewTable {
        std::uint64_t l1_index = 0;
        std::uint64_t host_offset = 0;  ///< 0: this element is free
        std::uint32_t users = 0;        ///< changes under way that use the table
        bool fresh = false;             ///< its cluster reads as zeros
    };

    /// Lifetime: all outlive this. The first layer of `chain` is written.
    WriteMap(Chain& chain, SliceCache& cache, Refcounts& refcounts) noexcept
        : layer_(chain.front()), cache_(cache), refcounts_(refcounts), has_backing_(chain.size() > 1) {}

    /// Returns the step for the first part of a write of `length` bytes at `offset` that is done in one way.
    WriteStep find(std::uint64_t offset, std::uint64_t length) noexcept;
    /// Returns the step for the first part of a discard of `count` whole clusters.
    WriteStep find_discard(std::uint64_t guest_cluster, std::uint64_t count) noexcept;

    /// Ensures that `guest_cluster` has an L2 table, or a new one, and counts a use of it until end_use(). Returns
    /// false if the image has no space for a table, or there are too many new ones.
    bool begin_use(std::uint64_t guest_cluster) noexcept;
    void end_use(std::uint64_t guest_cluster) noexcept;
    /// Returns the new table for an L1 entry, or null.
    NewTable* new_table(std::uint64_t l1_index) noexcept;
    std::array<NewTable, new_tables_max>& new_tables() noexcept { return new_tables_; }

    /// Returns the offset in the file of the slice that has, or will have, the entry of `guest_cluster`. Only if a
    /// table exists or begin_use() was called.
    std::uint64_t slice_offset(std::uint64_t guest_cluster) noexcept;
    /// Returns the length in bytes that the file needs before `change` is made, for its clusters and their tables.
    std::uint64_t file_end_for(const Change& change) noexcept;
    /// Returns the new value of the entry `old`. `at`: index of the cluster within the change.
    RawEntry new_entry(const Change& change, std::uint64_t at, const RawEntry& old) const noexcept;
    /// The part of the disk that `change` fills, in bytes: whole units.
    std::uint64_t begin_of(const Change& change) const noexcept {
        return (change.guest_cluster << layer_.header.cluster_bits) +
               (std::uint64_t{change.first_unit} << layer_.unit_bits());
    }
    std::uint64_t end_of(const Change& change) const noexcept {
        const std::uint64_t end = ((change.guest_cluster + change.count - 1) << layer_.header.cluster_bits) +
                                  (std::uint64_t{change.end_unit} << layer_.unit_bits());
        // A data file ends with the disk.
        return layer_.header.external_data() ? std::min(end, layer_.size_bytes) : end;
    }
    /// Whether the guest's clusters have fixed offsets, in an external data file, so that none is allocated.
    bool places_are_fixed() const noexcept { return layer_.header.external_data(); }

    Layer& layer() noexcept { return layer_; }
    SliceCache& cache() noexcept { return cache_; }
    Refcounts& refcounts() noexcept { return refcounts_; }

  private:
    struct Unit {
        WriteStep::Kind kind = WriteStep::Kind::invalid;
        bool whole = false;  ///< must be written with all of its cluster
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
