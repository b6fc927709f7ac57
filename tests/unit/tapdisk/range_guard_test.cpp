// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeGuard, against its contract: who waits for whom, and in which order waiting claims are granted.
#include "tapdisk/range_guard.hpp"

#include <random>
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
    ~Claims() {
        for (auto& claim : claims) {
            if (claim.is_linked()) guard.release(claim, [](RangeGuard::Claim&) {});
        }
    }
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

TEST_CASE("range guard: releasing a claim that still waits lets those behind it go on", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::shared));
    CHECK_FALSE(t.acquire(1, {0, 8}, Mode::exclusive));
    CHECK_FALSE(t.acquire(2, {0, 8}, Mode::shared));
    t.release(1);
    CHECK(t.granted == std::vector<std::size_t>{2});
}

TEST_CASE("range guard: in random traffic no two held claims conflict and nobody waits for ever", "[unit][tapdisk]") {
    std::mt19937 random(7);
    RangeGuard guard;
    std::vector<RangeGuard::Claim> claims(64);
    for (int step = 0; step < 20000; ++step) {
        auto& claim = claims[random() % claims.size()];
        if (!claim.is_linked()) {
            guard.acquire(claim, {random() % 100, 1 + random() % 10},
                          random() % 4 == 0 ? Mode::exclusive : Mode::shared);
        } else if (!claim.waiting) {
            guard.release(claim, [](RangeGuard::Claim&) {});
        }
        for (const auto& a : claims) {
            for (const auto& b : claims) {
                if (&a == &b || !a.is_linked() || !b.is_linked() || a.waiting || b.waiting) continue;
                const bool ordered = a.mode == Mode::exclusive || b.mode == Mode::exclusive;
                REQUIRE_FALSE((ordered && a.range.overlaps(b.range)));
            }
        }
    }
    // Releasing whatever is held, again and again, ends with nothing left.
    for (std::size_t round = 0; round < claims.size() && !guard.empty(); ++round) {
        for (auto& claim : claims) {
            if (claim.is_linked() && !claim.waiting) guard.release(claim, [](RangeGuard::Claim&) {});
        }
    }
    CHECK(guard.empty());
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
    CHECK(t.granted == std::vector<std::size_t>{2, 3});
}

TEST_CASE("range guard: ordering an exclusive claim changes nothing", "[unit][tapdisk]") {
    Claims t;
    CHECK(t.acquire(0, {0, 8}, Mode::exclusive));
    t.order(0);
    CHECK_FALSE(t.acquire(1, {0, 8}, Mode::shared));
    t.release(0);
    CHECK(t.granted == std::vector<std::size_t>{1});
}
