// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/l2_entry.hpp"

#include <catch2/catch.hpp>

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
