// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/layer.hpp"

#include "tests/unit/qcow2/tables_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;
using Kind = Extent::Kind;

namespace {

constexpr std::uint64_t cluster = Tables::cluster;

}  // namespace

TEST_CASE("qcow2 layer: without an L2 table all that it would map is unallocated", "[unit][qcow2]") {
    Tables t;
    const Extent extent = look_up(t.chain, 0, t.cache, 3 * cluster, 1ULL << 30);
    CHECK(extent.kind == Kind::unallocated);
    CHECK(extent.length == (Tables::per_table - 3) * cluster);
}

TEST_CASE("qcow2 layer: a slice that is not in memory is asked for", "[unit][qcow2]") {
    Tables t;
    t.chain.front().l1[0] = Tables::l2_offset;
    const Extent extent = look_up(t.chain, 0, t.cache, 0, 512);
    CHECK(extent.kind == Kind::missing);
    CHECK(extent.host_offset == Tables::l2_offset);
}

TEST_CASE("qcow2 layer: clusters that follow each other in the file are one extent", "[unit][qcow2]") {
    Tables t;
    t.set(5, (10 * cluster) | flag_copied);
    t.set(6, (11 * cluster) | flag_copied);
    t.set(7, (13 * cluster) | flag_copied);
    const Extent extent = look_up(t.chain, 0, t.cache, 5 * cluster + 1024, 10 * cluster);
    CHECK(extent.kind == Kind::data);
    CHECK(extent.host_offset == 10 * cluster + 1024);
    CHECK(extent.length == 2 * cluster - 1024);
    CHECK(look_up(t.chain, 0, t.cache, 5 * cluster, 512).length == 512);
}

TEST_CASE("qcow2 layer: zero clusters, compressed clusters and damaged entries are told apart", "[unit][qcow2]") {
    Tables t;
    t.set(1, flag_zero);
    t.set(2, flag_zero | (10 * cluster));
    t.set(3, flag_compressed | (1ULL << 58) | 0xa123);
    t.set(4, 10 * cluster + 512);
    const Extent zero = look_up(t.chain, 0, t.cache, cluster, 8 * cluster);
    CHECK(zero.kind == Kind::zero);
    CHECK(zero.length == 2 * cluster);
    const Extent compressed = look_up(t.chain, 0, t.cache, 3 * cluster + 512, 4 * cluster);
    CHECK(compressed.kind == Kind::compressed);
    CHECK(compressed.host_offset == 0xa123);
    CHECK(compressed.compressed_bytes == 2 * 512 - 0x123);
    CHECK(compressed.skip == 512);
    CHECK(compressed.length == cluster - 512);
    CHECK(look_up(t.chain, 0, t.cache, 4 * cluster, 512).kind == Kind::invalid);
}

TEST_CASE("qcow2 layer: what lies behind the file's end is zeros, a table there is damage", "[unit][qcow2]") {
    Tables t;
    t.chain.front().file_end = 10 * cluster + 512;
    t.set(0, 10 * cluster);
    t.set(1, 11 * cluster);
    const Extent inside = look_up(t.chain, 0, t.cache, 0, 2 * cluster);
    CHECK(inside.kind == Kind::data);
    CHECK(inside.length == 512);
    CHECK(look_up(t.chain, 0, t.cache, 512, 512).kind == Kind::zero);
    CHECK(look_up(t.chain, 0, t.cache, cluster, 512).kind == Kind::zero);
    t.chain.front().l1[1] = 11 * cluster;
    t.chain.front().l1[2] = 512;
    t.chain.front().l1[3] = 0x00fffffffffff000;
    for (std::uint64_t table = 1; table < 4; ++table)
        CHECK(look_up(t.chain, 0, t.cache, table * Tables::per_table * cluster, 512).kind == Kind::invalid);
}

TEST_CASE("qcow2 layer: of the sector that the file ends in all is read, and of a table what is there",
          "[unit][qcow2]") {
    Tables t;
    Layer& layer = t.chain.front();
    layer.file_end = 10 * cluster + 700;
    t.set(0, 10 * cluster);
    CHECK(look_up(t.chain, 0, t.cache, 0, cluster).length == 1024);
    CHECK(look_up(t.chain, 0, t.cache, 512, 512).kind == Kind::data);
    CHECK(look_up(t.chain, 0, t.cache, 1024, 512).kind == Kind::zero);
    layer.l1[1] = 10 * cluster;
    CHECK(look_up(t.chain, 0, t.cache, Tables::per_table * cluster, 512).kind == Kind::missing);
}

TEST_CASE("qcow2 layer: pieces of a table behind the file's end map nothing", "[unit][qcow2]") {
    Tables t;
    Layer& layer = t.chain.front();
    layer.header.cluster_bits = 16;  // 16 slices
    layer.l1[0] = 1 << 16;
    layer.file_end = (1 << 16) + 4097;
    CHECK(look_up(t.chain, 0, t.cache, 512ULL << 16, 512).kind == Kind::missing);
    CHECK(look_up(t.chain, 0, t.cache, 1024ULL << 16, 512).kind == Kind::unallocated);
}

TEST_CASE("qcow2 chain: what a layer has not is looked for below, and is zeros in the end", "[unit][qcow2]") {
    Tables t;
    t.set(0, 10 * cluster);
    t.set(2, flag_zero);
    Layer base;
    base.raw = true;
    base.size_bytes = base.file_end = 3 * cluster - 512;
    t.chain.push_back(std::move(base));
    const auto at = [&](std::uint64_t offset, std::uint64_t length) {
        return resolve(t.chain, 0, t.cache, offset, length);
    };
    CHECK(at(0, cluster).layer == 0);
    const Extent below = at(cluster, cluster);
    CHECK(below.kind == Kind::data);
    CHECK(below.layer == 1);
    CHECK(below.host_offset == cluster);
    CHECK(at(2 * cluster, 512).kind == Kind::zero);
    t.set(2, 0);
    CHECK(at(2 * cluster, cluster).length == cluster - 512);
    CHECK(at(3 * cluster - 512, 512).kind == Kind::zero);
    CHECK(at(100 * cluster, cluster).kind == Kind::zero);
}
