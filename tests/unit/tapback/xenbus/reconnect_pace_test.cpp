// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/reconnect_pace.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;

namespace {

int take_all(ReconnectPace& pace, Nanoseconds now) {
    int taken = 0;
    while (pace.take(now) && taken < 1000)
        ++taken;
    return taken;
}

}  // namespace

TEST_CASE("pace: a burst is served at once, and then one step in each interval", "[unit]") {
    ReconnectPace pace;
    Nanoseconds now = 1000h;
    CHECK(take_all(pace, now) == ReconnectPace::burst);
    CHECK_FALSE(pace.take(now + ReconnectPace::interval - 1ns));
    for (int i = 0; i < 100; ++i) {
        now += ReconnectPace::interval;
        CHECK(take_all(pace, now) == 1);
    }
}

TEST_CASE("pace: a guest that leaves its disk alone may do as much as before, and no more", "[unit]") {
    ReconnectPace pace;
    Nanoseconds now = 1h;
    take_all(pace, now);
    now += ReconnectPace::interval * 7;
    CHECK(take_all(pace, now) == 7);
    now += 1000h;
    CHECK(take_all(pace, now) == ReconnectPace::burst);
}

TEST_CASE("pace: an endless run of reconnections costs two a second", "[unit]") {
    ReconnectPace pace;
    int taken = 0;
    for (Nanoseconds now = 1h; now < 1h + 60s; now += 1ms)
        taken += take_all(pace, now);
    CHECK(taken >= 119);
    CHECK(taken <= ReconnectPace::burst + 120);
}
