// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PagePool: no page is given twice, all pages come back, and the lowest pages are taken first.
#include "tapdisk/ring/page_pool.hpp"

#include <random>
#include <set>
#include <vector>

#include "tests/support/catch.hpp"

using blktap::PagePool;
using blktap::PageRun;

TEST_CASE("page pool: a fresh pool gives neighbouring pages as one run", "[unit][tapdisk]") {
    PagePool pool;
    std::vector<PageRun> runs(256);
    REQUIRE(pool.take(256, runs) == 1);
    CHECK(runs[0].first == 0);
    CHECK(runs[0].count == 256);
    pool.give_back(std::span(runs).first(1));
    CHECK(pool.unused());
}

TEST_CASE("page pool: freed low pages are used again before untouched ones", "[unit][tapdisk]") {
    PagePool pool;
    std::vector<PageRun> first(4), second(4), third(4);
    pool.take(4, first);
    pool.take(4, second);
    pool.give_back(std::span(first).first(1));
    REQUIRE(pool.take(2, third) == 1);
    CHECK(third[0].first == 0);
}

TEST_CASE("page pool: more pages than are free are refused and nothing is taken", "[unit][tapdisk]") {
    PagePool pool;
    std::vector<PageRun> runs(PagePool::page_count);
    REQUIRE(pool.take(PagePool::page_count - 1, runs) == 1);
    std::vector<PageRun> two(2);
    CHECK(pool.take(2, two) == 0);
    CHECK(pool.take(1, two) == 1);
    CHECK(pool.take(1, two) == 0);
}

TEST_CASE("page pool: in random use no page is in two hands and none is lost", "[unit][tapdisk]") {
    std::mt19937 random(3);
    PagePool pool;
    struct Holding {
        std::vector<PageRun> runs;
    };
    std::vector<Holding> holdings;
    std::set<unsigned> held;
    for (int step = 0; step < 3000; ++step) {
        if (random() % 2 == 0 && !holdings.empty()) {
            std::swap(holdings[random() % holdings.size()], holdings.back());
            for (const PageRun run : holdings.back().runs) {
                for (unsigned page = run.first; page < unsigned{run.first} + run.count; ++page)
                    held.erase(page);
            }
            pool.give_back(holdings.back().runs);
            holdings.pop_back();
        } else {
            const std::size_t pages = 1 + random() % 256;
            std::vector<PageRun> runs(pages);
            const std::size_t count = pool.take(pages, runs);
            CHECK((count == 0) == (held.size() + pages > PagePool::page_count));
            runs.resize(count);
            std::size_t got = 0;
            for (const PageRun run : runs) {
                for (unsigned page = run.first; page < unsigned{run.first} + run.count; ++page) {
                    REQUIRE(held.insert(page).second);
                    ++got;
                }
            }
            if (count != 0) {
                REQUIRE(got == pages);
                holdings.push_back({runs});
            }
        }
        REQUIRE(pool.free_pages() == PagePool::page_count - held.size());
    }
}
