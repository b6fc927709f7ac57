// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/commit_plan.hpp"

#include <array>

#include "tests/unit/qcow2/tables_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t cluster = Tables::cluster;

struct Plan : Tables {
    WriteMap map{chain, cache, refcounts};
    CommitPlan plan{map};

    /// Allocates clusters for `guest_cluster`, as a writer does.
    Change allocated(std::uint64_t guest_cluster, std::uint64_t count = 1) {
        REQUIRE(map.begin_use(guest_cluster));
        const auto run = refcounts.allocate(count);
        return {Change::Kind::allocate, guest_cluster, run->count, run->first * cluster};
    }
    CommitPlan::Added add(const Change& change) { return plan.add(std::span{&change, 1}); }
    const CommitPlan::Write* write_to(std::uint64_t offset) {
        for (const CommitPlan::Write& write : plan.writes()) {
            if (write.offset == offset) return &write;
        }
        return nullptr;
    }
};

}  // namespace

TEST_CASE("qcow2 commit: refcounts come before the entry that needs them", "[unit][qcow2]") {
    Plan t;
    t.set(1, 0);
    const Change change = t.allocated(1, 2);
    REQUIRE(t.add(change) == CommitPlan::Added::yes);
    t.plan.seal();
    const auto* const counts = t.write_to(3 * cluster);
    const auto* const entries = t.write_to(Tables::l2_offset);
    REQUIRE(counts != nullptr);
    REQUIRE(entries != nullptr);
    CHECK(counts->phase == 1);
    CHECK(entries->phase == 2);
    CHECK(load<std::uint16_t>(counts->data, 16 * 2) == 1);
    CHECK(load<std::uint16_t>(counts->data, 17 * 2) == 1);
    CHECK(load<std::uint64_t>(entries->data, 8) == (change.host_offset | flag_copied));
    CHECK(load<std::uint64_t>(entries->data, 16) == ((change.host_offset + cluster) | flag_copied));
    CHECK(t.entry(1) == 0);  // not before it is written
    t.plan.finish();
    CHECK(t.entry(1) == (change.host_offset | flag_copied));
    CHECK(t.plan.empty());
    CHECK(t.refcounts.dirty().count() == 0);
}

TEST_CASE("qcow2 commit: a new L2 table is written before the L1 table leads to it", "[unit][qcow2]") {
    Plan t;
    const std::uint64_t guest = 2 * Tables::per_table + 7;
    const Change change = t.allocated(guest);
    const std::uint64_t table = t.map.slice_offset(guest);
    REQUIRE(t.add(change) == CommitPlan::Added::yes);
    t.plan.seal();
    REQUIRE(t.write_to(table) != nullptr);
    CHECK(t.write_to(table)->phase == 1);
    const auto* const l1 = t.write_to(cluster);
    REQUIRE(l1 != nullptr);
    CHECK(l1->phase == 2);
    CHECK(load<std::uint64_t>(l1->data, 2 * 8) == (table | flag_copied));
    CHECK(load<std::uint64_t>(l1->data, 8) == 0);
    t.plan.finish();
    CHECK(t.chain.front().l1[2] == (table | flag_copied));
    const Extent found = look_up(t.chain, 0, t.cache, guest * cluster, 512);
    CHECK(found.kind == Extent::Kind::data);
    CHECK(found.host_offset == change.host_offset);
}

TEST_CASE("qcow2 commit: a new L2 table on a used place gets its zeros first", "[unit][qcow2]") {
    Plan t;
    while (t.refcounts.allocate(1000)) {
    }
    t.refcounts.drop(10, false);
    t.refcounts.drop(11, false);
    const Change change = t.allocated(Tables::per_table);
    CHECK(t.map.slice_offset(Tables::per_table) == 10 * cluster);
    REQUIRE(t.add(change) == CommitPlan::Added::yes);
    t.plan.seal();
    REQUIRE_FALSE(t.plan.writes().empty());
    CHECK(t.plan.writes().front().phase == 0);
    CHECK(t.plan.writes().front().offset == 10 * cluster);
    CHECK(t.plan.writes().front().data.size() == cluster);
}

TEST_CASE("qcow2 commit: changes of many requests share the pieces", "[unit][qcow2]") {
    Plan t;
    t.set(1, 0);
    for (std::uint64_t guest = 1; guest < 40; ++guest)
        REQUIRE(t.add(t.allocated(guest)) == CommitPlan::Added::yes);
    t.plan.seal();
    CHECK(t.plan.writes().size() == 2);
}

TEST_CASE("qcow2 commit: a slice that was forgotten is asked for, and nothing is added", "[unit][qcow2]") {
    Plan t;
    t.chain.front().l1[0] = Tables::l2_offset;
    CHECK(t.add(t.allocated(1)) == CommitPlan::Added::missing);
    CHECK(t.plan.missing_slice() == Tables::l2_offset);
    CHECK(t.plan.changes().empty());
}

TEST_CASE("qcow2 commit: abandoned, it has changed nothing, and refcounts are written again", "[unit][qcow2]") {
    Plan t;
    t.set(1, 0);
    REQUIRE(t.add(t.allocated(1)) == CommitPlan::Added::yes);
    t.plan.seal();
    CHECK(t.refcounts.dirty().count() == 0);
    t.plan.abandon();
    CHECK(t.plan.empty());
    CHECK(t.entry(1) == 0);
    CHECK(t.refcounts.dirty().count() == 1);
    CHECK(t.cache.insert({0, 1 << 20}) != SliceCache::none);
}

TEST_CASE("qcow2 commit: discarded clusters are free, and punched, when it is over", "[unit][qcow2]") {
    Plan t;
    t.set(1, 10 * cluster);
    t.set(2, 11 * cluster);
    t.set(3, flag_zero | (12 * cluster));
    REQUIRE(t.add({Change::Kind::discard, 1, 3, 0}) == CommitPlan::Added::yes);
    t.plan.seal();
    CHECK(t.plan.frees());
    REQUIRE(t.plan.punches().size() == 1);
    CHECK(t.plan.punches().front().offset == 10 * cluster);
    CHECK(t.plan.punches().front().length == 3 * cluster);
    CHECK(t.refcounts.used(10));
    t.plan.finish();
    CHECK_FALSE(t.refcounts.used(10));
    CHECK_FALSE(t.refcounts.used(12));
    CHECK(t.entry(2) == 0);
    CHECK(t.refcounts.allocate(1)->first == 10);
}

TEST_CASE("qcow2 commit: what a write replaces is held, in each cluster that it touched", "[unit][qcow2]") {
    Plan t;
    REQUIRE(t.refcounts.add_reference(10));
    t.set(1, flag_compressed | (7ULL << 58) | (10 * cluster + 1000));  // into cluster 11
    REQUIRE(t.add(t.allocated(1)) == CommitPlan::Added::yes);
    t.plan.seal();
    CHECK(t.plan.frees());
    CHECK(t.plan.punches().empty());
    t.plan.finish();
    CHECK(t.refcounts.count(10) == 1);
    CHECK_FALSE(t.refcounts.used(11));
    CHECK(t.refcounts.allocate(1)->first == 17);  // not 11
}

TEST_CASE("qcow2 commit: an entry that leads to a table frees nothing", "[unit][qcow2]") {
    Plan t;
    t.set(1, cluster);  // the L1 table
    REQUIRE(t.add({Change::Kind::discard, 1, 1, 0}) == CommitPlan::Added::yes);
    t.plan.seal();
    CHECK(t.plan.punches().empty());
    t.plan.finish();
    CHECK(t.refcounts.used(1));
    CHECK(t.entry(1) == 0);
}
