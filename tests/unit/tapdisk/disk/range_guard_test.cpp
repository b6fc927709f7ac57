// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeGuard, against its contract: which claims wait for which, and in which order waiting claims are granted. For the
// cost of the worst guests see range_guard_cost_test.cpp.
#include "tapdisk/disk/range_guard.hpp"

#include <algorithm>
#include <vector>

#include "tests/support/catch.hpp"

using blktap::RangeGuard;
using blktap::SectorRange;
using Mode = RangeGuard::Mode;

namespace {

struct Claims {
    RangeGuard guard;
    std::vector<RangeGuard::Claim> claims = std::vector<RangeGuard::Claim>(8);
    std::vector<std::size_t> granted;

    bool acquire(std::size_t i, SectorRange range, Mode mode) { return guard.acquire(claims[i], range, mode); }
    void order(std::size_t i) { guard.order(claims[i]); }
    void release(std::size_t i) {
        guard.release(claims[i], [this](RangeGuard::Claim& claim) {
            granted.push_back(static_cast<std::size_t>(&claim - claims.data()));
        });
    }
    ~Claims() { guard.clear(); }
};

}  // namespace

TEST_CASE("range guard: overlapping ordinary requests never wait for each other", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 100}, Mode::shared));
    CHECK(t.acquire(1, {50, 100}, Mode::shared));
}

TEST_CASE("range guard: an exclusive claim waits for the earlier ones that it overlaps, and for no others",
          "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared));
    CHECK(t.acquire(1, {100, 8}, Mode::shared));
    CHECK_FALSE(t.acquire(2, {4, 8}, Mode::exclusive));
    CHECK(t.acquire(3, {200, 8}, Mode::exclusive));
    t.release(1);
    CHECK(t.granted.empty());
    t.release(0);
    CHECK(t.granted == std::vector<std::size_t>{2});
}

TEST_CASE("range guard: a later request does not overtake a waiting exclusive one", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared));
    CHECK_FALSE(t.acquire(1, {0, 8}, Mode::exclusive));
    CHECK_FALSE(t.acquire(2, {4, 1}, Mode::shared));
    CHECK(t.acquire(3, {8, 1}, Mode::shared));
    t.release(0);
    CHECK(t.granted == std::vector<std::size_t>{1});
    t.release(1);
    CHECK(t.granted == std::vector<std::size_t>{1, 2});
}

TEST_CASE("range guard: claims that wait on one place are granted in the order in which they came", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::exclusive));
    CHECK_FALSE(t.acquire(1, {0, 4}, Mode::shared));
    CHECK_FALSE(t.acquire(2, {2, 8}, Mode::shared));  // beside the one before it, once that holds
    CHECK_FALSE(t.acquire(3, {9, 1}, Mode::exclusive));
    CHECK_FALSE(t.acquire(4, {0, 16}, Mode::shared));
    t.release(0);
    CHECK(t.granted == std::vector<std::size_t>{1, 2});
    t.release(1);
    t.release(2);
    CHECK(t.granted == std::vector<std::size_t>{1, 2, 3});
    t.release(3);
    CHECK(t.granted == std::vector<std::size_t>{1, 2, 3, 4});
}

TEST_CASE("range guard: one that overlaps many waits for the last of them, whatever their order", "[unit][tapdisk]") {
    Claims t;
    for (std::size_t i = 0; i < 5; ++i)
        CHECK(t.acquire(i, {i * 10, 12}, Mode::shared));
    CHECK_FALSE(t.acquire(5, {5, 40}, Mode::exclusive));
    for (const std::size_t i : {2u, 4u, 0u, 3u}) {
        t.release(i);
        CHECK(t.granted.empty());
    }
    t.release(1);
    CHECK(t.granted == std::vector<std::size_t>{5});
}

TEST_CASE("range guard: clearing it ends every claim, held and waiting", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared_write));
    t.order(0);
    CHECK_FALSE(t.acquire(1, {0, 8}, Mode::shared_write));
    CHECK_FALSE(t.acquire(2, {4, 8}, Mode::exclusive));
    CHECK_FALSE(t.acquire(3, {0, 100}, Mode::shared));
    CHECK(t.acquire(4, {200, 8}, Mode::shared));
    t.guard.clear();
    CHECK(t.guard.empty());
    for (std::size_t i = 0; i < 5; ++i)
        CHECK_FALSE(t.claims[i].is_linked());
    CHECK(t.acquire(3, {0, 100}, Mode::exclusive));
    CHECK_FALSE(t.acquire(2, {4, 8}, Mode::ordered_write));
    t.release(3);
    CHECK(t.granted == std::vector<std::size_t>{2});
}

TEST_CASE("range guard: later writes wait for an ordered one, reads and other places do not", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared_write));
    CHECK(t.acquire(1, {4, 8}, Mode::shared_write));  // came before the first was ordered
    t.order(0);
    CHECK_FALSE(t.acquire(2, {7, 1}, Mode::shared_write));
    CHECK_FALSE(t.acquire(3, {0, 1}, Mode::ordered_write));
    CHECK(t.acquire(4, {0, 8}, Mode::shared));
    CHECK(t.acquire(5, {8, 8}, Mode::shared_write));
    t.release(1);
    CHECK(t.granted.empty());
    t.release(0);
    std::ranges::sort(t.granted);  // the two do not overlap
    CHECK(t.granted == std::vector<std::size_t>{2, 3});
}

TEST_CASE("range guard: a read passes writes that wait for an ordered one, a discard does not", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::ordered_write));
    CHECK_FALSE(t.acquire(1, {4, 8}, Mode::shared_write));
    CHECK(t.acquire(2, {4, 8}, Mode::shared));
    CHECK_FALSE(t.acquire(3, {10, 1}, Mode::exclusive));
    t.release(2);
    t.release(0);
    CHECK(t.granted == std::vector<std::size_t>{1});
    t.release(1);
    CHECK(t.granted == std::vector<std::size_t>{1, 3});
}

TEST_CASE("range guard: a write under way that becomes ordered keeps those waiting that wait there already",
          "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared_write));
    CHECK(t.acquire(1, {4, 8}, Mode::shared_write));
    t.order(0);
    CHECK_FALSE(t.acquire(2, {6, 4}, Mode::shared_write));
    t.order(1);
    t.release(0);
    CHECK(t.granted.empty());
    t.release(1);
    CHECK(t.granted == std::vector<std::size_t>{2});
}

TEST_CASE("range guard: what would wait for its range is what acquire() lets wait", "[unit][tapdisk]") {
    constexpr SectorRange before{0, 8};
    constexpr Mode modes[]{Mode::shared, Mode::shared_write, Mode::ordered_write, Mode::exclusive};
    for (const Mode held : modes) {
        for (const bool another_waits : {false, true}) {
            for (const Mode mode : modes) {
                for (const SectorRange range : {SectorRange{4, 8}, SectorRange{8, 8}}) {
                    Claims t;
                    REQUIRE(t.acquire(0, before, held));
                    if (another_waits) t.acquire(1, before, Mode::exclusive);
                    const bool would_wait = t.guard.would_wait(range, mode);
                    CHECK(would_wait == !t.acquire(2, range, mode));
                }
            }
        }
    }
}

TEST_CASE("range guard: claims that were held together are held again together", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared_write));
    CHECK(t.acquire(1, {4, 8}, Mode::shared_write));
    CHECK(t.acquire(2, {100, 8}, Mode::exclusive));
    t.order(0);
    t.order(1);
    t.guard.clear();
    for (const std::size_t i : {0u, 1u, 2u})
        t.guard.hold_again(t.claims[i]);
    CHECK_FALSE(t.guard.would_wait({4, 1}, Mode::shared_write));
    t.order(0);
    CHECK(t.guard.would_wait({4, 1}, Mode::shared_write));
    CHECK(t.guard.would_wait({107, 1}, Mode::shared));
}

TEST_CASE("range guard: ordering an exclusive claim changes nothing", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::exclusive));
    t.order(0);
    CHECK_FALSE(t.acquire(1, {0, 8}, Mode::shared));
    t.release(0);
    CHECK(t.granted == std::vector<std::size_t>{1});
}
