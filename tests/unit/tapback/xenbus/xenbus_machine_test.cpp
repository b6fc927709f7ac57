// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/xenbus_machine.hpp"

#include "tests/support/catch.hpp"

using namespace blktap::tapback;

namespace {

using Tapdisk = Situation::Tapdisk;
using Link = Situation::Link;

Situation situation(Xenbus backend, Xenbus frontend, Tapdisk tapdisk, Link link) {
    Situation now;
    now.backend = backend;
    now.frontend = frontend;
    now.tapdisk = tapdisk;
    now.link = link;
    now.offered = backend != Xenbus::initialising;
    return now;
}

/// What the world looks like once a step is done, and its answer has come.
Situation after(Situation now, Step step) {
    switch (step) {
        case Step::none:
        case Step::forget:
            break;
        case Step::offer:
            if (now.backend != Xenbus::init_wait) now.backend = Xenbus::init_wait;
            now.offered = true;
            now.refused = false;
            break;
        case Step::connect:
            now.link = Link::up;
            now.published = false;
            break;
        case Step::publish:
            now.backend = Xenbus::connected;
            now.published = true;
            break;
        case Step::disconnect:
            now.link = Link::none;
            now.renewed = false;
            break;
        case Step::abandon:
            now.abandoned = false;
            break;
        case Step::closing:
            now.backend = Xenbus::closing;
            break;
        case Step::close:
            now.backend = Xenbus::closed;
            break;
        case Step::end_tapdisk:
            now.tapdisk = Tapdisk::none;
            break;
    }
    return now;
}

/// Calls `check` for every situation without a request on its way.
template <class Check>
void for_all(Check check) {
    for (unsigned bits = 0; bits < 1024; ++bits)
        for (int backend = 0; backend <= 6; ++backend)
            for (int frontend = 0; frontend <= 6; ++frontend)
                for (const Tapdisk tapdisk : {Tapdisk::none, Tapdisk::starting, Tapdisk::open, Tapdisk::ending})
                    for (const Link link : {Link::none, Link::up}) {
                        if (link == Link::up && tapdisk != Tapdisk::open) continue;
                        Situation now =
                            situation(static_cast<Xenbus>(backend), static_cast<Xenbus>(frontend), tapdisk, link);
                        now.owned = (bits & 1) != 0;
                        now.online = (bits & 2) != 0;
                        now.offered = (bits & 4) != 0;
                        now.refused = (bits & 8) != 0;
                        now.paused = (bits & 16) != 0;
                        now.forced = (bits & 32) != 0;
                        now.kernel_waits = (bits & 64) != 0;
                        now.published = (bits & 256) != 0;
                        now.renewed = (bits & 512) != 0 && link == Link::up;
                        now.abandoned = (bits & 128) != 0 && link == Link::none && tapdisk == Tapdisk::none;
                        check(now);
                    }
}

}  // namespace

TEST_CASE("xenbus: the way of a disk from the toolstack's first node to its last", "[unit]") {
    Situation now;
    CHECK(next_step(now) == Step::offer);
    now = situation(Xenbus::init_wait, Xenbus::initialising, Tapdisk::none, Link::none);
    CHECK(next_step(now) == Step::none);
    now.frontend = Xenbus::initialised;
    CHECK(next_step(now) == Step::none);  // no image yet
    now.tapdisk = Tapdisk::open;
    CHECK(next_step(now) == Step::connect);
    now.frontend = Xenbus::connected;  // at once, as firmware does
    CHECK(next_step(now) == Step::connect);
    now.link = Link::up;
    CHECK(next_step(now) == Step::publish);
    now.backend = Xenbus::connected;
    CHECK(next_step(now) == Step::none);
    now.frontend = Xenbus::closing;
    CHECK(next_step(now) == Step::closing);
    now.backend = Xenbus::closing;
    CHECK(next_step(now) == Step::none);
    now.frontend = Xenbus::closed;
    CHECK(next_step(now) == Step::disconnect);
    now.link = Link::none;
    CHECK(next_step(now) == Step::close);
    now.backend = Xenbus::closed;
    CHECK(next_step(now) == Step::none);  // online: it may come back
    now.online = false;
    CHECK(next_step(now) == Step::end_tapdisk);
    now.tapdisk = Tapdisk::none;
    CHECK(next_step(now) == Step::none);
    now.owned = false;
    CHECK(next_step(now) == Step::forget);
}

TEST_CASE("xenbus: a frontend that begins again is offered the disk again", "[unit]") {
    Situation now = situation(Xenbus::closed, Xenbus::initialising, Tapdisk::open, Link::none);
    CHECK(next_step(now) == Step::offer);
    now = situation(Xenbus::connected, Xenbus::initialising, Tapdisk::open, Link::up);
    CHECK(next_step(now) == Step::disconnect);
    now.link = Link::none;
    CHECK(next_step(now) == Step::offer);
}

TEST_CASE("xenbus: a frontend that was not seen to begin again gets its new rings served, and is told", "[unit]") {
    Situation now = situation(Xenbus::connected, Xenbus::initialised, Tapdisk::open, Link::up);
    CHECK(next_step(now) == Step::none);
    now.renewed = true;
    CHECK(next_step(now) == Step::disconnect);
    now = after(now, Step::disconnect);
    CHECK(next_step(now) == Step::connect);
    now = after(now, Step::connect);
    // Connected is what it waits for, though that is the state already.
    CHECK(next_step(now) == Step::publish);
    CHECK(next_step(after(now, Step::publish)) == Step::none);
}

TEST_CASE("xenbus: the toolstack's wish alone takes no disk from a guest", "[unit]") {
    Situation now = situation(Xenbus::closing, Xenbus::connected, Tapdisk::open, Link::up);
    now.online = false;
    CHECK(next_step(now) == Step::none);
    now.frontend = Xenbus::unknown;  // by force: its directory is gone
    CHECK(next_step(now) == Step::disconnect);
}

TEST_CASE("xenbus: by force a frontend that does not close loses its rings, and then its disk", "[unit]") {
    Situation now = situation(Xenbus::closing, Xenbus::connected, Tapdisk::open, Link::up);
    now.online = false;
    now.forced = true;
    CHECK(next_step(now) == Step::disconnect);
    now.link = Link::none;
    CHECK(next_step(now) == Step::close);
}

TEST_CASE("xenbus: rings that this domain's kernel waits for stay, whoever gave the disk up", "[unit]") {
    Situation now = situation(Xenbus::closing, Xenbus::unknown, Tapdisk::open, Link::up);
    now.owned = GENERATE(false, true);
    now.online = false;
    now.kernel_waits = true;
    CHECK(next_step(now) == Step::none);
    now.kernel_waits = false;
    CHECK(next_step(now) == Step::disconnect);
}

TEST_CASE("xenbus: a disk that never served is closed at once", "[unit]") {
    Situation now = situation(Xenbus::closing, Xenbus::initialising, Tapdisk::none, Link::none);
    now.online = false;
    CHECK(next_step(now) == Step::close);
}

TEST_CASE("xenbus: a refused frontend is told to close, and may begin again", "[unit]") {
    Situation now = situation(Xenbus::init_wait, Xenbus::initialised, Tapdisk::open, Link::none);
    now.refused = true;
    CHECK(next_step(now) == Step::closing);
    now.backend = Xenbus::closing;
    CHECK(next_step(now) == Step::none);
    now.frontend = Xenbus::initialising;
    CHECK(next_step(now) == Step::close);
}

TEST_CASE("xenbus: a frontend that comes while the disk is paused waits for it", "[unit]") {
    Situation now = situation(Xenbus::init_wait, Xenbus::initialised, Tapdisk::open, Link::none);
    now.paused = true;
    CHECK(next_step(now) == Step::none);
    now.paused = false;
    CHECK(next_step(now) == Step::connect);
}

TEST_CASE("xenbus: a held disk, whose tapdisk died, waits", "[unit]") {
    CHECK(next_step(situation(Xenbus::connected, Xenbus::connected, Tapdisk::none, Link::none)) == Step::none);
}

TEST_CASE("xenbus: what a tapdisk that died has left is answered before the disk is closed", "[unit]") {
    Situation now = situation(Xenbus::connected, Xenbus::connected, Tapdisk::none, Link::none);
    now.abandoned = true;
    CHECK(next_step(now) == Step::none);  // held: nothing may be said yet
    now.backend = Xenbus::closing;
    CHECK(next_step(now) == Step::none);
    now.online = false;
    CHECK(next_step(now) == Step::abandon);
    now.online = true;
    now.frontend = GENERATE(Xenbus::closed, Xenbus::unknown);
    CHECK(next_step(now) == Step::abandon);
    now.backend = Xenbus::connected;
    CHECK(next_step(now) == Step::abandon);
    now.abandoned = false;
    CHECK(next_step(now) == Step::close);
}

TEST_CASE("xenbus: nothing is done while a request about the rings is on its way", "[unit]") {
    for_all([](Situation now) {
        now.link = Link::busy;
        CHECK(next_step(now) == Step::none);
    });
}

TEST_CASE("xenbus: from every situation the steps come to rest", "[unit]") {
    for_all([](Situation now) {
        for (int steps = 0; steps < 12; ++steps) {
            const Step step = next_step(now);
            if (step == Step::none || step == Step::forget) return;
            now = after(now, step);
        }
        FAIL("backend " << int(now.backend) << " frontend " << int(now.frontend) << " goes round in circles");
    });
}

TEST_CASE("xenbus: a disk that its toolstack gives up ends as Closed, wherever it stands", "[unit]") {
    for_all([](Situation now) {
        if (!now.owned) return;
        now.online = false;
        for (int turns = 0; turns < 20; ++turns) {
            const Step step = next_step(now);
            REQUIRE(step != Step::offer);
            REQUIRE(step != Step::connect);
            now = after(now, step);
            if (now.tapdisk == Tapdisk::ending) now.tapdisk = Tapdisk::none;
            if (now.tapdisk == Tapdisk::starting) now.tapdisk = Tapdisk::open;
            // The least that a frontend with rings does, or "force" for it.
            if (step == Step::none && now.link == Link::up) now.frontend = Xenbus::closed;
            if (step == Step::none) now.kernel_waits = false;
        }
        INFO("backend " << int(now.backend) << " frontend " << int(now.frontend));
        CHECK(now.backend == Xenbus::closed);
        CHECK(now.link == Link::none);
        CHECK(now.tapdisk == Tapdisk::none);
        CHECK(next_step(now) == Step::none);
    });
}

TEST_CASE("xenbus: a guest is asked to close a disk that goes offline, whatever the state says", "[unit]") {
    Situation now = situation(Xenbus::connected, Xenbus::connected, Tapdisk::open, Link::up);
    now.online = false;
    CHECK(next_step(now) == Step::closing);
    now = situation(Xenbus::init_wait, Xenbus::initialised, Tapdisk::open, Link::none);
    now.online = false;
    CHECK(next_step(now) == Step::close);
}

TEST_CASE("xenbus: rings are given only to an open image, and taken from no other", "[unit]") {
    for_all([](const Situation& now) {
        const Step step = next_step(now);
        if (step == Step::connect) CHECK((now.tapdisk == Tapdisk::open && now.link == Link::none && !now.paused));
        if (step == Step::disconnect || step == Step::publish) CHECK(now.link == Link::up);
        if (step == Step::close || step == Step::end_tapdisk || step == Step::forget) CHECK(now.link == Link::none);
        if (step == Step::forget) CHECK(now.tapdisk == Tapdisk::none);
        if (step == Step::close || step == Step::forget) CHECK_FALSE(now.abandoned);
    });
}

TEST_CASE("xenbus: what a frontend's state may say", "[unit]") {
    CHECK(parse_frontend_state(std::nullopt) == Xenbus::unknown);
    CHECK(parse_frontend_state("4") == Xenbus::connected);
    for (const char* nonsense : {"", "7", "8", "-1", "04", "4 ", "connected", "99999999999999999999"})
        CHECK(parse_frontend_state(nonsense) == Xenbus::closing);
}
