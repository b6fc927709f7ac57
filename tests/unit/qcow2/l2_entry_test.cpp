// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/l2_entry.hpp"

#include "tests/support/catch.hpp"

using namespace blktap::qcow2;
using Kind = L2Entry::Kind;

TEST_CASE("qcow2 L2 entry: the kinds of clusters are told apart", "[unit][qcow2]") {
    CHECK(L2Entry::decode(0, 16, 3).kind == Kind::unallocated);
    const L2Entry data = L2Entry::decode(flag_copied | 0x50000, 16, 3);
    CHECK(data.kind == Kind::data);
    CHECK(data.host_offset == 0x50000);
    CHECK(L2Entry::decode(flag_zero, 16, 3).kind == Kind::zero);
    const L2Entry preallocated = L2Entry::decode(flag_copied | 0x50000 | flag_zero, 16, 3);
    CHECK(preallocated.kind == Kind::zero);
    CHECK(preallocated.host_offset == 0x50000);
}

TEST_CASE("qcow2 L2 entry: an offset inside of a cluster, and a zero cluster in version 2, are invalid",
          "[unit][qcow2]") {
    CHECK(L2Entry::decode(0x50200, 16, 3).kind == Kind::invalid);
    CHECK(L2Entry::decode(0x50200, 9, 3).kind == Kind::data);
    CHECK(L2Entry::decode(flag_zero, 16, 2).kind == Kind::invalid);
}

TEST_CASE("qcow2 L2 entry: a compressed cluster may begin at any byte and tells its sectors", "[unit][qcow2]") {
    // Clusters of 64 KiB: 8 bits of sectors above 54 of offset.
    const L2Entry entry = L2Entry::decode(flag_compressed | (3ULL << 54) | 0x50123, 16, 3);
    CHECK(entry.kind == Kind::compressed);
    CHECK(entry.host_offset == 0x50123);
    CHECK(entry.compressed_bytes == 4 * 512 - 0x123);
    const L2Entry smallest = L2Entry::decode(flag_compressed | 0x50001, 9, 3);
    CHECK(smallest.compressed_bytes == 511);
    CHECK(L2Entry::decode(flag_compressed, 16, 3).kind == Kind::invalid);
}

TEST_CASE("qcow2 L2 entry: each subcluster has data, zeros or nothing", "[unit][qcow2]") {
    const L2Entry cluster = L2Entry::decode(flag_copied | 0x50000, 16, 2);
    const std::uint64_t bitmap = 1ULL << 3 | 1ULL << (32 + 4);
    const auto at = [&](std::uint64_t index) { return L2Entry::decode_subcluster(cluster, bitmap, index, 16); };
    CHECK(at(2).kind == Kind::unallocated);
    CHECK(at(2).placed);  // data may be put there
    CHECK(at(3).kind == Kind::data);
    CHECK(at(3).host_offset == 0x50000 + 3 * 2048);
    CHECK(at(4).kind == Kind::zero);
    const L2Entry nowhere = L2Entry::decode(0, 16, 2);
    CHECK(L2Entry::decode_subcluster(nowhere, bitmap_all_zero, 31, 16).kind == Kind::zero);
    CHECK_FALSE(L2Entry::decode_subcluster(nowhere, 0, 31, 16).placed);
}

TEST_CASE("qcow2 L2 entry: a bitmap that contradicts itself or its entry is damaged", "[unit][qcow2]") {
    const L2Entry cluster = L2Entry::decode(0x50000, 16, 2);
    CHECK(L2Entry::decode_subcluster(cluster, 1ULL << 7 | 1ULL << 39, 0, 16).kind == Kind::invalid);
    CHECK(L2Entry::decode_subcluster(L2Entry::decode(0, 16, 2), 1, 5, 16).kind == Kind::invalid);
    // A compressed cluster has no subclusters, whatever its bitmap says.
    const L2Entry compressed = L2Entry::decode(flag_compressed | 0x50001, 16, 2);
    CHECK(L2Entry::decode_subcluster(compressed, 0, 9, 16).kind == Kind::compressed);
}

TEST_CASE("qcow2 L2 entry: bits of a range of subclusters", "[unit][qcow2]") {
    CHECK(bitmap_of(0, 32) == bitmap_all_data);
    CHECK(bitmap_of(3, 5) == 0b11000);
    CHECK(bitmap_of(31, 32) == 1ULL << 31);
}
