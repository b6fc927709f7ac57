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
    CHECK(t.map.new_entry(discard, 0) == 0);
    t.chain.emplace_back();
    CHECK(WriteMap{t.chain, t.cache, t.refcounts}.new_entry(discard, 0) == flag_zero);
}
