// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_situation.hpp"

#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

TEST_CASE("disk situation: only what has changed is read again", "[unit][tapback]") {
    DiskHost t;
    t.write_backend("online", "0");
    t.write_frontend("state", "5");
    t.situation.observe();
    CHECK(t.situation.now().online);
    CHECK(t.situation.now().frontend == Xenbus::initialising);
    t.situation.node_changed("state");  // a toolstack writes "online" with it
    t.situation.observe();
    CHECK_FALSE(t.situation.now().online);
    CHECK(t.situation.now().frontend == Xenbus::initialising);
    t.situation.frontend_changed();
    t.situation.observe();
    CHECK(t.situation.now().frontend == Xenbus::closing);
}

TEST_CASE("disk situation: a state is entered with what goes before it and what people are told", "[unit][tapback]") {
    DiskHost t;
    REQUIRE(next_step(t.situation.now()) == Step::offer);
    CHECK(t.situation.enter(Step::offer, Xenbus::init_wait,
                            [&](const auto& nodes) { nodes.write(t.backend("max-ring-pages"), "16"); }));
    CHECK(t.node("state") == "2");
    CHECK(t.node("max-ring-pages") == "16");
    CHECK(t.status_node() == "waiting for the image");
    CHECK(t.situation.now().backend == Xenbus::init_wait);
}

TEST_CASE("disk situation: a step that the nodes do not ask for any more is not done", "[unit][tapback]") {
    DiskHost t;
    REQUIRE(next_step(t.situation.now()) == Step::offer);
    t.write_frontend("state", "6");  // and its event is on its way
    CHECK_FALSE(t.situation.confirmed(Step::offer));
    t.situation.observe();
    CHECK(next_step(t.situation.now()) == Step::close);
    t.write_frontend("state", "1");
    int written = 0;
    CHECK_FALSE(t.situation.enter(Step::close, Xenbus::closed, [&](const auto&) { ++written; }));
    CHECK(written == 0);
    CHECK(t.node("state") == "1");
    t.situation.observe();
    CHECK(next_step(t.situation.now()) == Step::offer);
}

TEST_CASE("disk situation: nothing is entered in a directory that was made anew", "[unit][tapback]") {
    DiskHost t;
    t.open_image();
    t.make_directory();
    CHECK_FALSE(t.situation.enter(Step::offer, Xenbus::init_wait));
    t.situation.tell_to_close();
    t.situation.leave();
    CHECK(t.node("state") == "1");
    CHECK(t.status_node() == "none");
    t.situation.observe();
    CHECK_FALSE(t.situation.now().owned);
    CHECK_THAT(t.status.entry(t.situation.now(), false).problem.value_or(""), Contains("made anew"));
}

TEST_CASE("disk situation: a disk that was given up stays so, and needs no confirmation", "[unit][tapback]") {
    DiskHost t;
    t.situation.release();
    CHECK_FALSE(t.situation.now().owned);
    t.see_all();
    CHECK_FALSE(t.situation.now().owned);
    CHECK(t.situation.confirmed(Step::end_tapdisk));
    CHECK_FALSE(t.situation.is_domain_dead());
    t.situation.domain_died();
    CHECK(t.situation.is_domain_dead());
}

TEST_CASE("disk situation: while xenstored began anew, a directory that is missing is still the disk's",
          "[unit][tapback]") {
    DiskHost t;
    t.directory.store_lost();
    t.store().remove(t.address.backend_path());
    t.see_all();
    CHECK(t.situation.now().owned);
    CHECK_FALSE(t.situation.has_directory());
    t.directory.store_found();
    t.see_all();
    CHECK_FALSE(t.situation.now().owned);
}

TEST_CASE("disk situation: a frontend that is not of the disk's domain is a problem", "[unit][tapback][XSA-178]") {
    DiskHost t;
    t.make_directory();
    t.write_backend("frontend", "/local/domain/6/device/vbd/51712");
    BackendDirectory directory(t.store_session, t.address, "");
    DiskSituation situation({t.store_session, directory, t.link, t.session, t.status}, t.address, [] {});
    situation.observe();
    CHECK_THAT(t.status.entry(situation.now(), false).problem.value_or(""), Contains("not of its domain"));
    CHECK(situation.now().frontend == Xenbus::unknown);
}

TEST_CASE("disk situation: who has an image is told when its directory has got its mark", "[unit][tapback]") {
    DiskHost t;
    CHECK(t.lives_known == 0);  // a disk without an image has no record
    t.open_image();
    BackendDirectory directory(t.store_session, t.address, "");
    int known = 0;
    DiskSituation situation({t.store_session, directory, t.link, t.session, t.status}, t.address, [&] { ++known; });
    situation.observe();
    CHECK(known == 1);
    situation.all_changed();
    situation.observe();
    CHECK(known == 1);
}

TEST_CASE("disk situation: a frontend is told to close once", "[unit][tapback]") {
    DiskHost t;
    t.situation.tell_to_close();
    CHECK(t.node("state") == "5");
    t.write_backend("state", "6");
    t.situation.tell_to_close();
    CHECK(t.node("state") == "6");
}

TEST_CASE("disk situation: whoever waits for a disk's end finds it closed, and without a claim", "[unit][tapback]") {
    SECTION("a disk of block-tap") {
        DiskHost t;
        t.situation.leave();
        CHECK(t.node("state") == "6");
        CHECK(t.status_node() == "closed");
    }
    SECTION("a disk that was claimed") {
        DiskHost t(StoreHost::Kind::vbd);
        REQUIRE(t.node("tapdisk/life") != "none");
        t.situation.leave();
        CHECK(t.node("state") == "6");
        CHECK(t.node("tapdisk/life") == "none");
        CHECK(t.node("tapdisk/owner") == "none");
    }
}

TEST_CASE("disk situation: requests of a guest that closed are answered, of one that begins anew or died are not",
          "[unit][tapback]") {
    DiskHost t;
    t.open_image();
    t.connect();
    const auto left = [&](const std::string& state, bool by_force = false) {
        t.write_frontend("state", state);
        t.see_all();
        return t.situation.rings_left(by_force);
    };
    CHECK(left("6") == ipc::RingsLeft::untouched);  // it says itself that it has let go of them
    CHECK(left("5") == ipc::RingsLeft::served);
    CHECK(left("5", true) == ipc::RingsLeft::failed);
    CHECK(left("1", true) == ipc::RingsLeft::untouched);
    t.write_backend("online", "0");
    CHECK(left("6") == ipc::RingsLeft::served);  // it may have been told to
    t.situation.domain_died();
    CHECK(left("6", true) == ipc::RingsLeft::untouched);
}
