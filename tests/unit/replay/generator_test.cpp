// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/load/generator.hpp"

#include <set>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;
using Pattern = GeneratorOptions::Pattern;

TEST_CASE("generator: sequential goes through the blocks in order and begins again", "[unit][replay]") {
    Generator generator({.pattern = Pattern::sequential}, 3);
    for (const std::uint64_t block : {0u, 1u, 2u, 0u, 1u})
        CHECK(generator.next()->block == block);
}

TEST_CASE("generator: random reaches every block and no other", "[unit][replay]") {
    Generator generator({.pattern = Pattern::random}, 16);
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i)
        seen.insert(generator.next()->block);
    CHECK(seen.size() == 16);
    CHECK(*seen.rbegin() == 15);
}

TEST_CASE("generator: one seed makes one sequence", "[unit][replay]") {
    Generator first({.read_percent = 50, .seed = 9}, 1000);
    Generator second({.read_percent = 50, .seed = 9}, 1000);
    Generator other({.read_percent = 50, .seed = 10}, 1000);
    unsigned different = 0;
    for (int i = 0; i < 100; ++i) {
        const auto choice = *first.next();
        const auto same = *second.next();
        CHECK(choice.block == same.block);
        CHECK(choice.operation == same.operation);
        different += choice.block != other.next()->block ? 1 : 0;
    }
    CHECK(different > 50);
}

TEST_CASE("generator: exclusive never has one block in flight twice", "[unit][replay]") {
    const auto pattern = GENERATE(Pattern::random, Pattern::sequential);
    Generator generator({.pattern = pattern, .exclusive = true}, 8);
    std::vector<Generator::Choice> in_flight;
    std::set<std::uint64_t> blocks;
    for (int i = 0; i < 8; ++i) {
        in_flight.push_back(*generator.next());
        blocks.insert(in_flight.back().block);
    }
    CHECK(blocks.size() == 8);
    CHECK(!generator.next());
    CHECK(!generator.finished());
    generator.done(in_flight[3]);
    CHECK(generator.next()->block == in_flight[3].block);
}

TEST_CASE("generator: a share of reads, and flushes after so many writes", "[unit][replay]") {
    Generator generator({.read_percent = 75, .flush_every = 10, .requests_max = 4000}, 64);
    unsigned reads = 0, writes = 0, flushes = 0, writes_before_flush = 0;
    while (const auto choice = generator.next()) {
        if (choice->operation == ring::Operation::flush_diskcache) {
            CHECK(writes_before_flush == 10);
            writes_before_flush = 0;
            ++flushes;
        } else if (choice->operation == ring::Operation::read) {
            ++reads;
        } else {
            ++writes;
            ++writes_before_flush;
        }
    }
    CHECK(generator.finished());
    CHECK(reads + writes == 4000);
    CHECK(reads > 2800);
    CHECK(reads < 3200);
    CHECK(flushes == writes / 10);
}

TEST_CASE("generator: stops when told", "[unit][replay]") {
    Generator generator({}, 8);
    CHECK(generator.next());
    generator.stop();
    CHECK(!generator.next());
    CHECK(generator.finished());
}
