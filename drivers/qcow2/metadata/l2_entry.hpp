// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// L2Entry: a decoded entry of an L2 table for one cluster of the disk, or for one of the 32 subclusters of a cluster in
// images with extended L2 entries. L1 entries have the same offset and flag.
//
// Tested by tests/unit/qcow2/l2_entry_test.cpp.
#pragma once

#include <cstdint>

#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {

inline constexpr std::uint64_t flag_copied = 1ULL << 63;  ///< the cluster has no other reference
inline constexpr std::uint64_t flag_compressed = 1ULL << 62;
inline constexpr std::uint64_t flag_zero = 1ULL << 0;  ///< reads as zeros, whatever the cluster holds; version 3
inline constexpr std::uint64_t offset_mask = 0x00fffffffffffe00;

/// In the bitmap of an extended entry, bit N: subcluster N has data; bit 32 + N: it reads as zeros.
inline constexpr unsigned subclusters_per_cluster = 32;
inline constexpr std::uint64_t bitmap_all_data = 0xffffffff;
inline constexpr std::uint64_t bitmap_all_zero = bitmap_all_data << 32;
/// Returns the data bits of the subclusters [first, end).
constexpr std::uint64_t bitmap_of(std::uint64_t first, std::uint64_t end) noexcept {
    return (((1ULL << end) - 1) >> first) << first;
}

/// An entry as stored in a table; the bitmap is 0 unless entries are extended.
struct RawEntry {
    std::uint64_t word = 0;
    std::uint64_t bitmap = 0;
    friend bool operator==(const RawEntry&, const RawEntry&) = default;
};

struct L2Entry {
    enum class Kind : std::uint8_t {
        unallocated,  ///< look in the backing file
        zero,
        data,
        compressed,
        invalid,
    };
    Kind kind = Kind::unallocated;
    std::uint64_t host_offset = 0;
    std::uint32_t compressed_bytes = 0;  ///< upper bound; the rest of the last sector may belong to others
    bool placed = false;                 ///< the entry has a cluster at host_offset, used or not

    static constexpr L2Entry invalid() noexcept { return {Kind::invalid, 0, 0, false}; }
    bool same_place(const L2Entry& other) const noexcept {
        return placed == other.placed && host_offset == other.host_offset;
    }

    static constexpr L2Entry decode(std::uint64_t raw, unsigned cluster_bits, std::uint32_t version) noexcept {
        if ((raw & flag_compressed) != 0) {
            const unsigned size_bits = cluster_bits - 8;
            const unsigned offset_bits = 62 - size_bits;
            const std::uint64_t offset = raw & ((1ULL << offset_bits) - 1);
            const std::uint64_t sectors = ((raw >> offset_bits) & ((1ULL << size_bits) - 1)) + 1;
            const std::uint64_t bytes = sectors * sector_size_bytes - (offset & (sector_size_bytes - 1));
            if (offset == 0 || offset > INT64_MAX - bytes) return invalid();
            return {Kind::compressed, offset, static_cast<std::uint32_t>(bytes), true};
        }
        const std::uint64_t offset = raw & offset_mask;
        if (!is_aligned(offset, 1ULL << cluster_bits)) return invalid();
        if ((raw & flag_zero) != 0) {
            if (version < 3) return invalid();
            return {Kind::zero, offset, 0, offset != 0};
        }
        return {offset == 0 ? Kind::unallocated : Kind::data, offset, 0, offset != 0};
    }

    /// Adapts `entry`, decoded from `raw`, to an external data file, whose first cluster has the valid offset 0.
    static constexpr L2Entry in_data_file(const L2Entry& entry, std::uint64_t raw) noexcept {
        if (entry.kind == Kind::compressed) return invalid();
        L2Entry result = entry;
        if (entry.kind == Kind::invalid || entry.placed || (raw & flag_copied) == 0) return result;
        result.placed = true;
        if (entry.kind == Kind::unallocated) result.kind = Kind::data;
        return result;
    }

    /// Decodes subcluster `index` of the cluster in `cluster`, with the bitmap of its entry.
    static constexpr L2Entry decode_subcluster(const L2Entry& cluster, std::uint64_t bitmap, std::uint64_t index,
                                               unsigned cluster_bits) noexcept {
        if (cluster.kind == Kind::compressed || cluster.kind == Kind::invalid) return cluster;
        const bool contradicts = ((bitmap >> 32) & bitmap) != 0 || (!cluster.placed && (bitmap & bitmap_all_data) != 0);
        if (contradicts) return invalid();
        L2Entry result = cluster;
        if (result.placed) result.host_offset += index << (cluster_bits - 5);
        result.kind = (bitmap >> index & 1) != 0          ? Kind::data
                      : (bitmap >> (32 + index) & 1) != 0 ? Kind::zero
                                                          : Kind::unallocated;
        return result;
    }
};

}  // namespace blktap::qcow2
