// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Layer: one image of a chain, and where in its file a piece of the disk is. Chain: the layers from the one that the
// guest writes down to the last backing file.
//
// Pure look-ups over tables in memory: where a piece of an L2 table is missing the answer says which, and whoever asked
// reads it and asks again.
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
    /// Pieces in which L2 tables are read, cached and written.
    std::uint64_t slice_bytes() const noexcept override {
        return cluster_bytes() < SliceCache::slice_bytes_max ? cluster_bytes() : SliceCache::slice_bytes_max;
    }
    std::uint64_t slice_entries() const noexcept { return slice_bytes() / header.l2_entry_bytes(); }
    std::uint64_t l1_index(std::uint64_t guest_cluster) const noexcept {
        return guest_cluster >> (header.cluster_bits - (header.extended_l2() ? 4 : 3));
    }
    /// Where the L2 table for `guest_cluster` is; 0: there is none. Not more than that is checked.
    std::uint64_t l2_table(std::uint64_t guest_cluster) const noexcept {
        return l1[l1_index(guest_cluster)] & offset_mask_l1;
    }
    /// Where in the L2 table for `guest_cluster` the slice with its entry begins.
    std::uint64_t slice_in_table(std::uint64_t guest_cluster) const noexcept {
        const std::uint64_t entry = guest_cluster & (header.table_entries() - 1);
        return entry / slice_entries() * slice_bytes();
    }
    std::uint64_t entry_in_slice(std::uint64_t guest_cluster) const noexcept {
        return guest_cluster & (slice_entries() - 1);
    }

    // Units: what is stored in one way each. Subclusters where the image has them, else clusters.
    unsigned units_shift() const noexcept { return header.extended_l2() ? 5 : 0; }
    std::uint64_t units_per_cluster() const noexcept { return 1ULL << units_shift(); }
    unsigned unit_bits() const noexcept { return header.cluster_bits - units_shift(); }
    std::uint64_t unit_bytes() const noexcept { return 1ULL << unit_bits(); }
    /// What an entry says of the whole cluster; with subclusters, of its place only.
    L2Entry cluster_entry(const RawEntry& raw) const noexcept {
        // Extended entries have no flag for zeros, as those of version 2.
        const std::uint32_t version = header.extended_l2() ? 2 : header.version;
        const L2Entry entry = L2Entry::decode(raw.word, header.cluster_bits, version);
        return header.external_data() ? L2Entry::in_data_file(entry, raw.word) : entry;
    }
    /// What it says of one unit, which begins at host_offset.
    L2Entry unit_entry(const RawEntry& raw, std::uint64_t unit_in_cluster) const noexcept {
        const L2Entry cluster = cluster_entry(raw);
        if (!header.extended_l2()) return cluster;
        return L2Entry::decode_subcluster(cluster, raw.bitmap, unit_in_cluster, header.cluster_bits);
    }
    /// The entry of number `index` in a table, or a slice of one.
    RawEntry load_entry(std::span<const std::byte> table, std::uint64_t index) const noexcept;
    void store_entry(std::span<std::byte> table, std::uint64_t index, const RawEntry& entry) const noexcept;

    static constexpr std::uint64_t offset_mask_l1 = 0x00fffffffffffe00;
};

/// The file with the guest's data of a layer that is open for writing has at least so many bytes, unless somebody cut
/// it.
inline std::uint64_t least_data_bytes(const Layer& layer) noexcept {
    return layer.data_fd ? std::min(layer.data_file_end, layer.size_bytes) : layer.file_end;
}

using Chain = std::vector<Layer>;

/// Where `length` bytes of the disk at `offset`, whole sectors, are in layer `index` of `chain`: the beginning of them
/// that is stored in one way.
Extent look_up(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept;

/// The same, through the layers from `index` down. Never unallocated: what no layer has is zeros.
Extent resolve(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept;

/// The raw L2 entry of `guest_cluster` in a slice that is ready.
RawEntry raw_entry(const Layer& layer, const SliceCache& cache, std::uint32_t slot,
                   std::uint64_t guest_cluster) noexcept;

}  // namespace blktap::qcow2
