// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/tapdisk_end.hpp"

#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

/// A disk whose tapdisk was asked to give back the rings.
struct EndHost : DiskHost {
    EndHost() {
        open_image();
        connect();
        link.disconnect(ipc::RingsLeft::served);
        situation.gather();
    }
    void set_online(const std::string& online) {
        write_backend("online", online);
        see_all();
    }
    void watch() {
        situation.gather();
        end.watch();
    }

    TapdiskEnd end{loop, session, situation, status};
};

}  // namespace

TEST_CASE("tapdisk end: a tapdisk that does not give back the rings of a disk that goes is ended", "[unit][tapback]") {
    EndHost t;
    t.set_online("0");
    t.watch();
    t.turn(TapdiskEnd::patience - Nanoseconds{1});
    t.watch();  // looked at again, it has no more time than before
    CHECK_FALSE(t.tapdisk().terminated);
    t.turn(Nanoseconds{1});
    CHECK(t.tapdisk().terminated);
    CHECK(t.session.state() == Session::ending);
    CHECK_THAT(t.status.entry(t.situation.now(), false).problem.value_or(""), Contains("process 100, does not answer"));
}

TEST_CASE("tapdisk end: a tapdisk of a disk that stays has all the time that it wants", "[unit][tapback]") {
    EndHost t;
    t.watch();
    t.turn(TapdiskEnd::patience);
    CHECK_FALSE(t.tapdisk().terminated);
    t.set_online("0");
    t.watch();
    t.set_online("1");  // a toolstack that thinks better of it
    t.watch();
    t.turn(TapdiskEnd::patience);
    CHECK_FALSE(t.tapdisk().terminated);
}

TEST_CASE("tapdisk end: one that gives back its rings in time is not ended for them", "[unit][tapback]") {
    EndHost t;
    t.set_online("0");
    t.watch();
    t.turn(TapdiskEnd::patience / 2);
    t.tapdisk().answer();
    t.watch();
    t.turn(TapdiskEnd::patience);
    CHECK_FALSE(t.tapdisk().terminated);
    t.end.end();
    CHECK(t.tapdisk().terminated);
}

TEST_CASE("tapdisk end: one that cannot be asked is ended as soon as its disk goes", "[unit][tapback]") {
    EndHost t;
    t.tapdisk().lose();
    t.watch();
    CHECK_FALSE(t.tapdisk().terminated);
    t.write_backend("online", "0");
    t.watch();  // that is not seen yet
    CHECK_FALSE(t.tapdisk().terminated);
    t.see_all();
    SECTION("and stays while it does not go after all") {
        t.write_backend("online", "1");
        t.watch();
        CHECK_FALSE(t.tapdisk().terminated);
    }
    SECTION("") {
        t.watch();
        CHECK(t.tapdisk().terminated);
    }
}
