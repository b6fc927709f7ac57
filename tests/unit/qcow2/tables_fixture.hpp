// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Tables: an image's tables in memory, without a file. Clusters of 4 KiB; a disk of 16 MiB (8 L2 tables of one slice
// each). The first 16 clusters of the file are in use: header, L1, refcount table and block, and data.
#pragma once

#include "drivers/qcow2/metadata/l2_entry.hpp"
#include "drivers/qcow2/write_map.hpp"
#include "drivers/shared/bytes.hpp"
#include "tests/support/catch.hpp"

namespace blktap::testing {

struct Tables {
    static constexpr std::uint64_t cluster = 4096;
    static constexpr std::uint64_t per_table = cluster / 8;
    static constexpr std::uint64_t l2_offset = 4 * cluster;  ///< of the first L2 table

    Tables() {
        chain.emplace_back();
        qcow2::Layer& layer = chain.front();
        layer.header.cluster_bits = 12;
        layer.header.l1_offset = cluster;
        layer.size_bytes = layer.header.size_bytes = 8 * per_table * cluster;
        layer.file_end = 1 << 20;
        layer.l1.resize(8);
        for (std::uint64_t used = 0; used < 16; ++used)
            REQUIRE(refcounts.add_reference(used));
        REQUIRE(refcounts.mark_metadata(0, 5));
    }
    /// The first L2 table is there, with `entry` for `guest_cluster`; its slice is in the cache.
    void set(std::uint64_t guest_cluster, std::uint64_t entry) {
        chain.front().l1[0] = l2_offset | qcow2::flag_copied;
        std::uint32_t slot = cache.find({0, l2_offset});
        if (slot == SliceCache::none) {
            slot = cache.insert({0, l2_offset});
            cache.loaded(slot);
        }
        store(cache.bytes(slot), guest_cluster * 8, entry);
    }
    std::uint64_t entry(std::uint64_t guest_cluster) {
        return load<std::uint64_t>(cache.bytes(cache.find({0, l2_offset})), guest_cluster * 8);
    }

    qcow2::Chain chain{};
    SliceCache cache{1 << 20};
    // One refcount block, at cluster 3, counts 2,048 clusters.
    qcow2::Refcounts refcounts{{12, 4, 2048, 2 * cluster, 16}, [] {
                                   std::vector<std::uint64_t> table(512);
                                   table[0] = 3 * cluster;
                                   return table;
                               }()};
};

}  // namespace blktap::testing
