// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/deaths.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;
using namespace std::chrono_literals;

namespace {

const std::string disk = "5/51712";

}  // namespace

TEST_CASE("deaths: after the limit within a minute no other tapdisk is started", "[unit][tapback]") {
    ManualClock clock;
    Deaths deaths(clock, disk, 3);
    for (int i = 0; i < 3; ++i) {
        CHECK(deaths.may_go_on());
        deaths.add();
        clock.advance(10s);
    }
    CHECK_FALSE(deaths.may_go_on());
    CHECK_THAT(deaths.problem("killed by signal 11"), Contains("UTC, the last of 3 within a minute; "));
    deaths.forget();
    CHECK(deaths.may_go_on());
}

TEST_CASE("deaths: those of more than a minute ago do not count", "[unit][tapback]") {
    ManualClock clock;
    Deaths deaths(clock, disk, 2);
    for (int i = 0; i < 10; ++i) {
        deaths.add();
        CHECK(deaths.may_go_on());
        clock.advance(60s);
    }
    deaths.add();
    clock.advance(59s);
    deaths.add();
    CHECK_FALSE(deaths.may_go_on());
}

TEST_CASE("deaths: the next tapback counts on, and holds what was held", "[unit][tapback]") {
    ManualClock clock;
    clock.advance(1000s);
    Deaths deaths(clock, disk, 3);
    deaths.add();
    clock.advance(40s);
    deaths.add();
    clock.advance(10s);
    Deaths next(clock, disk, 3);
    SECTION("within the minute") {
        next.restore(deaths.times(), "");
        CHECK(next.may_go_on());
        next.add();
        CHECK_FALSE(next.may_go_on());
    }
    SECTION("those of more than a minute ago do not count") {
        clock.advance(20s);
        next.restore(deaths.times(), "");
        next.add();
        CHECK(next.may_go_on());
    }
    SECTION("nor those of an earlier boot, nor nonsense") {
        next.restore({2'000'000'000'000, ~std::uint64_t{0}, std::uint64_t{1} << 63}, "");
        CHECK(next.times().empty());
    }
    SECTION("one that is held stays held, until an operator begins anew") {
        next.restore({}, "it is held");
        CHECK_FALSE(next.may_go_on());
        CHECK(next.held() == "it is held");
        next.forget();
        CHECK(next.may_go_on());
    }
}

TEST_CASE("deaths: there may be no limit", "[unit][tapback]") {
    ManualClock clock;
    Deaths deaths(clock, disk, 0);
    for (int i = 0; i < 1000; ++i)
        deaths.add();
    CHECK(deaths.may_go_on());
}
