// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/refcounts.hpp"

#include <random>

#include "tests/unit/qcow2/tables_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

TEST_CASE("qcow2 refcounts: free clusters are given in order, fresh ones are known to be zeros", "[unit][qcow2]") {
    Tables t;
    const auto first = t.refcounts.allocate(3);
    REQUIRE(first);
    CHECK(first->first == 16);
    CHECK(first->count == 3);
    CHECK(first->fresh);
    CHECK(t.refcounts.end() == 19);
    t.refcounts.release(17, 1);
    const auto hole = t.refcounts.allocate(3);
    REQUIRE(hole);
    CHECK(hole->first == 17);
    CHECK(hole->count == 1);
    CHECK_FALSE(hole->fresh);
    t.refcounts.release(16, 3);
    CHECK(t.refcounts.end() == 16);
}

TEST_CASE("qcow2 refcounts: a cluster that is held is free but not given", "[unit][qcow2]") {
    Tables t;
    t.refcounts.drop(10, true);
    t.refcounts.drop(12, false);
    CHECK_FALSE(t.refcounts.used(10));
    CHECK(t.refcounts.allocate(1)->first == 12);
    CHECK(t.refcounts.allocate(1)->first == 16);
}

TEST_CASE("qcow2 refcounts: shared clusters are free when the last reference is gone", "[unit][qcow2]") {
    Tables t;
    REQUIRE(t.refcounts.add_reference(10));
    REQUIRE(t.refcounts.add_reference(10));
    CHECK(t.refcounts.count(10) == 3);
    t.refcounts.drop(10, false);
    t.refcounts.drop(10, false);
    CHECK(t.refcounts.count(10) == 1);
    CHECK(t.refcounts.used(10));
    t.refcounts.drop(10, false);
    CHECK_FALSE(t.refcounts.used(10));
    t.refcounts.drop(10, false);  // a damaged image may ask for it
    CHECK(t.refcounts.count(10) == 0);
}

TEST_CASE("qcow2 refcounts: a count that its width cannot say is refused", "[unit][qcow2]") {
    Refcounts narrow{{12, 0, 100, 4096, 100}, std::vector<std::uint64_t>(512)};
    CHECK(narrow.add_reference(1));
    CHECK_FALSE(narrow.add_reference(1));
    Refcounts wide{{12, 2, 100, 4096, 100}, std::vector<std::uint64_t>(512)};
    for (int i = 0; i < 15; ++i)
        CHECK(wide.add_reference(1));
    CHECK_FALSE(wide.add_reference(1));
}

TEST_CASE("qcow2 refcounts: metadata is marked once", "[unit][qcow2]") {
    Tables t;
    CHECK(t.refcounts.mark_metadata(8, 2));
    CHECK_FALSE(t.refcounts.mark_metadata(9, 1));
    CHECK(t.refcounts.metadata(8));
    CHECK_FALSE(t.refcounts.metadata(10));
}

TEST_CASE("qcow2 refcounts: a new block counts itself and is written before the table", "[unit][qcow2]") {
    // A block of 4 KiB counts 2,048 clusters: the second one is missing.
    Refcounts refcounts{{12, 4, 4096, 2 * 4096, 2046}, [] {
                            std::vector<std::uint64_t> table(512);
                            table[0] = 3 * 4096;
                            return table;
                        }()};
    for (std::uint64_t used = 0; used < 2046; ++used)
        REQUIRE(refcounts.add_reference(used));
    const auto rest = refcounts.allocate(10);
    REQUIRE(rest);
    CHECK(rest->count == 2);
    CHECK_FALSE(refcounts.table().has_new());
    const auto next = refcounts.allocate(10);
    REQUIRE(next);
    CHECK(next->first == 2049);
    CHECK(next->count == 10);
    CHECK(refcounts.table().entries()[1] == 2048 * 4096);
    CHECK(refcounts.metadata(2048));
    CHECK(refcounts.used(2048));
    REQUIRE(refcounts.table().has_new());
    CHECK_FALSE(refcounts.in_new_block(0));
    CHECK(refcounts.in_new_block(1));
    std::vector<std::uint64_t> pieces;
    refcounts.table().begin_write(1 << 30, [&](std::uint64_t piece) { pieces.push_back(piece); });
    CHECK(pieces == std::vector<std::uint64_t>{0});
    refcounts.table().end_write(false);
    CHECK(refcounts.in_new_block(1));
    refcounts.table().begin_write(1 << 30, [](std::uint64_t) {});
    refcounts.table().end_write(true);
    CHECK_FALSE(refcounts.table().has_new());
}

TEST_CASE("qcow2 refcounts: the table gets every new block of one write, also those beside each other",
          "[unit][qcow2]") {
    // Blocks of 64 clusters of 512 bytes: an allocation soon needs several.
    std::vector<std::uint64_t> table(64);
    table[0] = 512;
    Refcounts refcounts{{9, 6, 4096, 1024, 2}, std::move(table)};
    for (int clusters = 0; clusters < 300; ++clusters)
        REQUIRE(refcounts.allocate(1));
    std::vector<std::byte> piece(512);
    int visits = 0;
    refcounts.table().begin_write(UINT64_MAX, [&](std::uint64_t number) {
        ++visits;
        refcounts.table().encode_piece(number, piece);
    });
    CHECK(visits == 1);
    for (std::uint64_t block = 0; block < 5; ++block)
        CHECK(load<std::uint64_t>(piece, block * 8) == refcounts.table().entries()[block]);
    CHECK(load<std::uint64_t>(piece, 4 * 8) != 0);
    CHECK_FALSE(refcounts.written(256, 1));
    refcounts.table().end_write(true);
    CHECK_FALSE(refcounts.table().has_new());
    CHECK(refcounts.table().entry_on_disk(4) == refcounts.table().entries()[4]);
}

TEST_CASE("qcow2 refcounts: a new block behind the file's end is not named yet", "[unit][qcow2]") {
    Refcounts refcounts{{12, 4, 4096, 2 * 4096, 2048}, [] {
                            std::vector<std::uint64_t> table(512);
                            table[0] = 3 * 4096;
                            return table;
                        }()};
    for (std::uint64_t used = 0; used < 2048; ++used)
        REQUIRE(refcounts.add_reference(used));
    REQUIRE(refcounts.allocate(1));
    CHECK(refcounts.block_of(2049) == 2048 * 4096);
    int visits = 0;
    std::vector<std::byte> piece(4096);
    refcounts.table().begin_write(2048 * 4096, [&](std::uint64_t) { ++visits; });
    refcounts.table().encode_piece(0, piece);
    CHECK(visits == 0);
    CHECK(load<std::uint64_t>(piece, 8) == 0);
    refcounts.table().begin_write(2049 * 4096, [&](std::uint64_t) { ++visits; });
    refcounts.table().encode_piece(0, piece);
    CHECK(visits == 1);
    CHECK(load<std::uint64_t>(piece, 8) == 2048 * 4096);
}

TEST_CASE("qcow2 refcounts: nothing is given behind what the table can count", "[unit][qcow2]") {
    Refcounts refcounts{{12, 4, 8192, 4096, 0}, std::vector<std::uint64_t>(1)};
    REQUIRE(refcounts.add_reference(0));  // the header
    std::uint64_t given = 0;
    while (const auto run = refcounts.allocate(1000))
        given += run->count;
    CHECK(given == 2046);
    CHECK_FALSE(refcounts.allocate_metadata().has_value());
}

TEST_CASE("qcow2 refcounts: a device's clusters are given to the last, and none behind it", "[unit][qcow2]") {
    Refcounts refcounts{{12, 4, 100, 4096, UINT64_MAX}, std::vector<std::uint64_t>(512)};
    REQUIRE(refcounts.add_reference(0));
    CHECK_FALSE(refcounts.allocate_metadata()->fresh);
    std::uint64_t given = 0;
    while (const auto run = refcounts.allocate(7)) {
        CHECK_FALSE(run->fresh);
        given += run->count;
    }
    CHECK(given == 97);
    CHECK(refcounts.end() == 100);
    CHECK_FALSE(refcounts.allocate_metadata());
}

TEST_CASE("qcow2 refcounts: blocks of every width are written as they are read", "[unit][qcow2]") {
    std::mt19937_64 random{7};
    for (unsigned order = 0; order <= 6; ++order) {
        CAPTURE(order);
        const std::uint64_t clusters = 4096ULL * 8 >> order;
        Refcounts one{{12, order, clusters, 4096, clusters}, std::vector<std::uint64_t>{8 * 4096}};
        const std::uint64_t most = order >= 3 ? 200 : (1ULL << (1U << order)) - 1;
        for (std::uint64_t cluster = 0; cluster < clusters; ++cluster) {
            for (std::uint64_t count = random() % (most + 1) / (random() % 3 + 1); count > 0; --count)
                REQUIRE(one.add_reference(cluster));
        }
        std::vector<std::byte> block(4096);
        one.encode_piece(0, block);
        Refcounts other{{12, order, clusters, 4096, clusters}, std::vector<std::uint64_t>{8 * 4096}};
        REQUIRE(other.load_block(0, block));
        for (std::uint64_t cluster = 0; cluster < clusters; ++cluster)
            REQUIRE(one.count(cluster) == other.count(cluster));
        CHECK(one.end() == other.end());
    }
}

TEST_CASE("qcow2 refcounts: counts of clusters that the file can never have are refused", "[unit][qcow2]") {
    Refcounts refcounts{{12, 4, 2048, 4096, 0}, std::vector<std::uint64_t>(512)};
    std::vector<std::byte> block(4096);
    CHECK(refcounts.load_block(5, block));
    block[1] = std::byte{1};
    CHECK_FALSE(refcounts.load_block(5, block));
    Refcounts wide{{12, 6, 512, 4096, 0}, std::vector<std::uint64_t>(512)};
    store<std::uint64_t>(block, 0, 65536);
    CHECK(wide.load_block(0, block));
    CHECK(wide.count(0) == 65536);
    CHECK_FALSE(wide.add_reference(0));
    store<std::uint64_t>(block, 0, 65537);
    CHECK_FALSE(wide.load_block(0, block));
}
