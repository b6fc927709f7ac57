// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk is told to end, so that the installed program goes on.
#include "tests/unit/tapback/session/revival_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

TEST_CASE("tapdisk upgrade: a tapdisk that is upgraded ends, and that is no death", "[unit][tapback]") {
    RevivalHost t;
    for (int i = 0; i < 5; ++i) {
        t.told.clear();
        t.session->replace(SessionEvent::upgrade, t.done());
        CHECK(t.state() == Session::upgrading);
        CHECK(t.tapdisk().terminated);
        t.tapdisk().lose();  // it closes its socket before it ends
        CHECK(t.problem.empty());
        t.tapdisk().end("exited with status 0");
        CHECK(t.ends.back() == DiskSession::End::revives);
        t.session->tidy();
        t.become_adopted();
        CHECK(t.told.empty());
        t.tapdisk().answer(t.device);
        CHECK(t.told == "done ");
        CHECK(t.state() == Session::open);
        t.tapdisk().answer(ipc::Problems{});  // "watch"
    }
    CHECK(t.problem.empty());
}

TEST_CASE("tapdisk upgrade: a disk that goes while its tapdisk is upgraded has no other one", "[unit][tapback]") {
    RevivalHost t;
    t.session->replace(SessionEvent::upgrade, t.done());
    t.session->end();
    t.tapdisk().end("exited with status 0");
    CHECK(t.state() == Session::none);
    CHECK_FALSE(t.record);
    CHECK_THAT(t.told, Contains("failed: "));
}

TEST_CASE("tapdisk upgrade: a pause that a tapdisk still answers while it is upgraded holds for the next one",
          "[unit][tapback]") {
    RevivalHost t;
    t.session->pausing().pause(t.done());
    t.session->replace(SessionEvent::upgrade, [](const auto&) {});
    t.tapdisk().answer();  // "pause"
    CHECK(t.told == "done ");
    CHECK(t.record->paused);
    t.tapdisk().end("exited with status 0");
    t.session->tidy();
    t.become_adopted();
    CHECK(t.state() == Session::paused);
    CHECK(t.tapdisk().asked() == "watch ");
}
