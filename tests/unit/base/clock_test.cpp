// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/clock.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;

TEST_CASE("manual clock: time passes only when told", "[unit][base]") {
    blktap::ManualClock clock;
    const auto before = clock.now();
    CHECK(clock.now() == before);
    clock.advance(5ms);
    CHECK(clock.now() - before == 5ms);
}

TEST_CASE("monotonic clock: goes on and never back", "[unit][base]") {
    const blktap::MonotonicClock clock;
    const auto first = clock.now();
    auto last = first;
    while (last == first) {
        const auto now = clock.now();
        REQUIRE(now >= last);
        last = now;
    }
    CHECK(last > first);
}
