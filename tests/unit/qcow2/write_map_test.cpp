// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/write_map.hpp"

#include "tests/unit/qcow2/tables_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;
using Kind = WriteStep::Kind;

namespace {

constexpr std::uint64_t cluster = Tables::cluster;

struct Map : Tables {
    WriteMap map{chain, cache, refcounts};
};

/// With subclusters of 128 bytes: no image has them so small, and the map does not mind.
struct SubclusterMap : Map {
    SubclusterMap() { chain.front().header.incompatible = incompatible_extended_l2; }
    void set(std::uint64_t guest_cluster, const RawEntry& entry) {
        Tables::set(0, 0);
        chain.front().store_entry(cache.bytes(cache.find({0, l2_offset})), guest_cluster, entry);
    }
    static constexpr std::uint64_t sub = cluster / 32;
};

}  // namespace

TEST_CASE("qcow2 write map: the guest's own clusters are written in place", "[unit][qcow2]") {
    Map t;
    t.set(5, (10 * cluster) | flag_copied);
    t.set(6, 11 * cluster);  // the flag is not relied on
    t.set(7, 13 * cluster);
    const WriteStep step = t.map.find(5 * cluster + 512, 100 * cluster);
    CHECK(step.kind == Kind::in_place);
    CHECK(step.host_offset == 10 * cluster + 512);
    CHECK(step.length == 2 * cluster - 512);
}

TEST_CASE("qcow2 write map: what is not stored, compressed or shared needs clusters", "[unit][qcow2]") {
    Map t;
    t.set(1, 0);
    t.set(2, flag_zero);
    t.set(3, flag_compressed | 0xa123);
    t.set(4, 12 * cluster);
    REQUIRE(t.refcounts.add_reference(12));
    t.set(5, 13 * cluster);
    const WriteStep step = t.map.find(cluster + 512, 100 * cluster);
    CHECK(step.kind == Kind::allocate);
    CHECK(step.clusters == 4);
    CHECK(step.length == 4 * cluster - 512);
}

TEST_CASE("qcow2 write map: without a table clusters are needed, of one slice at a time", "[unit][qcow2]") {
    Map t;
    const WriteStep step = t.map.find((Tables::per_table - 2) * cluster, 10 * cluster);
    CHECK(step.kind == Kind::allocate);
    CHECK(step.clusters == 2);
}

TEST_CASE("qcow2 write map: a zero cluster that has a cluster keeps it", "[unit][qcow2]") {
    Map t;
    t.set(1, flag_zero | (10 * cluster));
    t.set(2, flag_zero | (11 * cluster));
    t.set(3, 12 * cluster);
    const WriteStep step = t.map.find(cluster, 3 * cluster);
    CHECK(step.kind == Kind::reuse);
    CHECK(step.clusters == 2);
    CHECK(step.host_offset == 10 * cluster);
}

TEST_CASE("qcow2 write map: data never goes to a table, nor to a cluster that is nobody's", "[unit][qcow2]") {
    Map t;
    for (const std::uint64_t host : {1 * cluster, 2 * cluster, 4 * cluster}) {  // tables
        t.set(1, host | flag_copied);
        CHECK(t.map.find(cluster, 512).kind == Kind::invalid);
        t.set(1, host | flag_zero);
        CHECK(t.map.find(cluster, 512).kind == Kind::invalid);
    }
    for (const std::uint64_t host : {20 * cluster, std::uint64_t{0x00fffffffffff000}}) {  // free, and far outside
        t.set(1, host | flag_copied);
        CHECK(t.map.find(cluster, 512).kind == Kind::invalid);
    }
}

TEST_CASE("qcow2 write map: a table to be has one place, however many use it", "[unit][qcow2]") {
    Map t;
    REQUIRE(t.map.begin_use(Tables::per_table));
    REQUIRE(t.map.begin_use(Tables::per_table + 1));
    const std::uint64_t host = t.map.slice_offset(Tables::per_table);
    CHECK(host == 16 * cluster);
    CHECK(t.map.slice_offset(Tables::per_table + 5) == host);
    CHECK(t.refcounts.metadata(16));
    t.map.end_use(Tables::per_table);
    t.map.end_use(Tables::per_table + 1);
    CHECK(t.map.new_table(1) != nullptr);  // until its place is wanted
}

TEST_CASE("qcow2 write map: discarding finds what is stored", "[unit][qcow2]") {
    Map t;
    t.set(1, 10 * cluster);
    t.set(2, flag_zero | (11 * cluster));
    t.set(3, flag_compressed | 0xa123);
    t.set(4, flag_zero);
    const WriteStep nothing = t.map.find_discard(0, 10);
    CHECK(nothing.kind == Kind::nothing);
    CHECK(nothing.clusters == 1);
    const WriteStep drop = t.map.find_discard(1, 10);
    CHECK(drop.kind == Kind::drop);
    CHECK(drop.clusters == 3);
    CHECK(t.map.find_discard(4, 3).clusters == 3);
    CHECK(t.map.find_discard(Tables::per_table + 1, 10000).clusters == Tables::per_table - 1);
}

TEST_CASE("qcow2 write map: a discarded cluster hides the backing file", "[unit][qcow2]") {
    const Change discard{Change::Kind::discard, 1, 1, 0};
    Map t;
    CHECK(t.map.new_entry(discard, 0, {}) == RawEntry{});
    t.chain.emplace_back();
    CHECK(WriteMap{t.chain, t.cache, t.refcounts}.new_entry(discard, 0, {}) == RawEntry{flag_zero, 0});
}

TEST_CASE("qcow2 write map: subclusters with data are written in place, others in the cluster that is there",
          "[unit][qcow2]") {
    SubclusterMap t;
    t.set(1, {(10 * cluster) | flag_copied, bitmap_of(4, 12)});
    t.set(2, {(11 * cluster) | flag_copied, bitmap_all_zero});
    const WriteStep before = t.map.find(cluster + SubclusterMap::sub * (1), cluster);
    CHECK(before.kind == Kind::reuse);
    CHECK(before.host_offset == 10 * cluster);
    CHECK(before.length == 3 * SubclusterMap::sub);
    CHECK(before.first_unit == 1);
    CHECK(before.end_unit == 4);
    const WriteStep data = t.map.find(cluster + SubclusterMap::sub * (4), cluster);
    CHECK(data.kind == Kind::in_place);
    CHECK(data.host_offset == 10 * cluster + 4 * SubclusterMap::sub);
    CHECK(data.length == 8 * SubclusterMap::sub);
    const WriteStep behind = t.map.find(cluster + SubclusterMap::sub * (12), cluster);
    CHECK(behind.kind == Kind::reuse);  // and on into the next cluster, which is beside it
    CHECK(behind.clusters == 2);
    CHECK(behind.first_unit == 12);
    CHECK(behind.end_unit == 12);
}

TEST_CASE("qcow2 write map: a new cluster gets the subclusters that are written, and keeps the others' zeros",
          "[unit][qcow2]") {
    SubclusterMap t;
    t.set(1, {0, 1ULL << (32 + 9) | 1ULL << (32 + 2)});
    const WriteStep step = t.map.find(cluster + SubclusterMap::sub * (2), 2 * SubclusterMap::sub);
    CHECK(step.kind == Kind::allocate);
    CHECK(step.first_unit == 2);
    CHECK(step.end_unit == 4);
    const Change change{Change::Kind::allocate, 1, 1, 12 * cluster, step.first_unit, step.end_unit};
    CHECK(t.map.begin_of(change) == cluster + 2 * SubclusterMap::sub);
    CHECK(t.map.end_of(change) == cluster + 4 * SubclusterMap::sub);
    CHECK(t.map.new_entry(change, 0, {0, 1ULL << (32 + 9) | 1ULL << (32 + 2)}) ==
          RawEntry{(12 * cluster) | flag_copied, bitmap_of(2, 4) | 1ULL << (32 + 9)});
}

TEST_CASE("qcow2 write map: compressed and shared clusters are replaced with all their subclusters", "[unit][qcow2]") {
    SubclusterMap t;
    t.set(1, {flag_compressed | 0xa123, 0});
    t.set(2, {12 * cluster, bitmap_of(0, 3)});
    REQUIRE(t.refcounts.add_reference(12));
    for (const std::uint64_t guest : {std::uint64_t{1}, std::uint64_t{2}}) {
        const WriteStep step = t.map.find(guest * cluster + SubclusterMap::sub * (7), SubclusterMap::sub);
        CHECK(step.kind == Kind::allocate);
        CHECK(step.first_unit == 0);
        CHECK(step.end_unit == 32);
        CHECK(step.length == SubclusterMap::sub);
    }
}

TEST_CASE("qcow2 write map: discarding a cluster with subclusters hides the backing file with each of them",
          "[unit][qcow2]") {
    const Change discard{Change::Kind::discard, 1, 1, 0};
    SubclusterMap t;
    t.set(1, {0, bitmap_all_zero});
    t.set(2, {10 * cluster, 1});
    CHECK(t.map.find_discard(1, 1).kind == Kind::nothing);
    CHECK(t.map.find_discard(2, 1).kind == Kind::drop);
    CHECK(t.map.new_entry(discard, 0, {10 * cluster, 1}) == RawEntry{});
    t.chain.emplace_back();
    CHECK(WriteMap{t.chain, t.cache, t.refcounts}.new_entry(discard, 0, {}) == RawEntry{0, bitmap_all_zero});
}
