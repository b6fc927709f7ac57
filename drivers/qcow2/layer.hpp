// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Layer: one image of a chain, and where in its file an extent of the disk is. Chain: the layers from the one that the
// guest writes down to the last backing file.
//
// Pure look-ups over tables in memory: if a slice of an L2 table is missing, the look-up returns which one, and the
// caller reads it and repeats the look-up.
//
// Tested by tests/unit/qcow2/layer_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "drivers/qcow2/metadata/header.hpp"
#include "drivers/qcow2/metadata/l2_entry.hpp"
#include "drivers/shared/slice_cache.hpp"
#include "drivers/tables/extent.hpp"
#include "drivers/tables/image_file.hpp"

namespace blktap::qcow2 {

using tables::Extent;

/// A file that is written ends with a cluster: file_end is aligned to one.
struct Layer final : tables::ImageFile {
    Header header;
    std::vector<std::uint64_t> l1;  ///< as on disk, in the host's byte order

    std::uint64_t cluster_bytes() const noexcept { return header.cluster_bytes(); }
    /// Unit in which L2 tables are read, cached and written.
    std::uint64_t slice_bytes() const noexcept override {
        return cluster_bytes() < SliceCache::slice_bytes_max ? cluster_bytes() : SliceCache::slice_bytes_max;
    }
    std::uint64_t slice_entries() const noexcept { return slice_bytes() / header.l2_entry_bytes(); }
    std::uint64_t l1_index(std::uint64_t guest_cluster) const noexcept {
        return guest_cluster >> (header.cluster_bits - (header.extended_l2() ? 4 : 3));
    }
    /// Returns the offset of the L2 table for `guest_cluster`, unchecked; 0: there is none.
    std::uint64_t l2_table(std::uint64_t guest_cluster) const noexcept {
        return l1[l1_index(guest_cluster)] & offset_mask_l1;
    }
    /// Returns the offset, within its L2 table, of the slice with the entry of `guest_cluster`.
    std::uint64_t slice_in_table(std::uint64_t guest_cluster) const noexcept {
        const std::uint64_t entry = guest_cluster & (header.table_entries() - 1);
        return entry / slice_entries() * slice_bytes();
    }
    std::uint64_t entry_in_slice(std::uint64_t guest_cluster) const noexcept {
        return guest_cluster & (slice_entries() - 1);
    }

    // A unit is stored in one way: a subcluster if the image has them, else a cluster.
    unsigned units_shift() const noexcept { return header.extended_l2() ? 5 : 0; }
    std::uint64_t units_per_cluster() const noexcept { return 1ULL << units_shift(); }
    unsigned unit_bits() const noexcept { return header.cluster_bits - units_shift(); }
    std::uint64_t unit_bytes() const noexcept { return 1ULL << unit_bits(); }
    /// Decodes an entry for the whole cluster; with subclusters, only its offset.
    L2Entry cluster_entry(const RawEntry& raw) const noexcept {
        // Extended entries have no zero flag, like those of version 2.
        const std::uint32_t version = header.extended_l2() ? 2 : header.version;
        const L2Entry entry = L2Entry::decode(raw.word, header.cluster_bits, version);
        return header.external_data() ? L2Entry::in_data_file(entry, raw.word) : entry;
    }
    /// Decodes an entry for one unit, which begins at host_offset.
    L2Entry unit_entry(const RawEntry& raw, std::uint64_t unit_in_cluster) const noexcept {
        const L2Entry cluster = cluster_entry(raw);
        if (!header.extended_l2()) return cluster;
        return L2Entry::decode_subcluster(cluster, raw.bitmap, unit_in_cluster, header.cluster_bits);
    }
    /// Returns entry `index` of a table or slice.
    RawEntry load_entry(std::span<const std::byte> table, std::uint64_t index) const noexcept;
    void store_entry(std::span<std::byte> table, std::uint64_t index, const RawEntry& entry) const noexcept;

    static constexpr std::uint64_t offset_mask_l1 = 0x00fffffffffffe00;
};

/// Returns the least length of the data file of a layer that is open for writing; a shorter file was cut by somebody.
inline std::uint64_t least_data_bytes(const Layer& layer) noexcept {
    return layer.data_fd ? std::min(layer.data_file_end, layer.size_bytes) : layer.file_end;
}

using Chain = std::vector<Layer>;

/// Looks up `length` bytes of the disk at `offset`, whole sectors, in layer `index` of `chain`. Returns their first
/// part that is stored in one way.
Extent look_up(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept;

/// The same, through the layers from `index` down. Never unallocated: bytes that no layer has are zeros.
Extent resolve(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept;

/// Returns the raw L2 entry of `guest_cluster` from a slice that is ready.
RawEntry raw_entry(const Layer& layer, const SliceCache& cache, std::uint32_t slot,
                   std::uint64_t guest_cluster) noexcept;

}  // namespace blktap::qcow2
