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

TEST_CASE("deaths: there may be no limit", "[unit][tapback]") {
    ManualClock clock;
    Deaths deaths(clock, disk, 0);
    for (int i = 0; i < 1000; ++i)
        deaths.add();
    CHECK(deaths.may_go_on());
}
