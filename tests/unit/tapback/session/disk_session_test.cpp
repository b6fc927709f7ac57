// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSession: the life of its tapdisk.
#include "tests/support/thrown.hpp"
#include "tests/unit/tapback/session/session_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;

TEST_CASE("disk session: an image is open when its tapdisk says so, and recorded before that runs", "[unit][tapback]") {
    SessionHost t;
    t.session->start(t.image, t.done());
    CHECK(t.state() == Session::opening);
    CHECK(t.tapdisks.socket == t.run_directory + "/5-51712.sock");
    CHECK(t.record->image == t.image);
    CHECK(t.record->process == t.tapdisk().id());
    CHECK(t.tapdisk().asked() == "open ");
    CHECK(t.told.empty());
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::open);
    CHECK(t.told == "done ");
    CHECK(t.session->description()->size_sectors == 8);
    CHECK(t.tapdisk().asked() == "watch ");
}

TEST_CASE("disk session: an image that does not open leaves nothing, and that is told when it is so",
          "[unit][tapback]") {
    SessionHost t;
    t.session->start(t.image, t.done());
    t.tapdisk().fail(std::make_error_code(std::errc::permission_denied), "no right to it");
    CHECK(t.state() == Session::ending);
    CHECK(t.tapdisk().terminated);
    CHECK(t.problem == "no right to it");
    CHECK(t.told.empty());
    t.tapdisk().end("exited with status 0");
    CHECK(t.told == "failed: no right to it ");
    CHECK(t.ends == std::vector{DiskSession::End::asked});
    CHECK_FALSE(t.session->image());
    CHECK_FALSE(t.record);
    t.session->tidy();
    t.start();
    CHECK(t.state() == Session::open);
}

TEST_CASE("disk session: without a tapdisk, or room for the record, nothing begins", "[unit][tapback]") {
    SessionHost t;
    (GENERATE(false, true) ? t.full : t.tapdisks.fails) = true;
    CHECK_THROWS_AS(t.session->start(t.image, t.done()), std::system_error);
    CHECK(t.state() == Session::none);
    CHECK_FALSE(t.session->image());
    CHECK_FALSE(t.record);
    CHECK_THROWS_AS(t.session->pausing().pause(t.done()), std::system_error);
    CHECK(t.told.empty());
}

TEST_CASE("disk session: a tapdisk that dies leaves its image to be held; one that was told to end does not",
          "[unit][tapback]") {
    SessionHost t;
    t.start();
    const bool asked = GENERATE(false, true);
    if (asked) t.session->end();
    CHECK(t.tapdisk().terminated == asked);
    t.tapdisk().end("killed by signal 9");
    CHECK(t.state() == Session::none);
    CHECK(t.session->tapdisk() == nullptr);
    CHECK(t.session->image().has_value() != asked);
    CHECK(t.record.has_value() != asked);
    CHECK(t.ends == std::vector{asked ? DiskSession::End::asked : DiskSession::End::held});
    if (asked) {
        CHECK(t.problem.empty());
    } else {
        CHECK_THAT(t.problem, StartsWith("its tapdisk killed by signal 9 at "));
        CHECK_THAT(t.problem, EndsWith("UTC; \"tap-ctl recover 5/51712\" starts another one"));
    }
}

TEST_CASE("disk session: after a restart a tapdisk says itself what it does", "[unit][tapback]") {
    SessionHost t;
    VbdRecord record = t.old_record();
    record.next = ipc::ImageArguments{"qcow2", "/images/b", false, {}};
    t.session->restore(record);
    CHECK(t.state() == Session::asking);
    CHECK_FALSE(t.connected);
    SECTION("it serves") {
        t.tapdisk().answer(t.stats("open", t.image, true));
        CHECK(t.state() == Session::open);
        CHECK(t.connected == true);
        CHECK(t.session->image() == t.image);
    }
    SECTION("it has the image that was asked for last") {
        t.tapdisk().answer(t.stats("open", *record.next));
        CHECK(t.session->image() == record.next);
        CHECK(t.record->image == record.next);
        CHECK_FALSE(t.record->next);
    }
    SECTION("it is paused") {
        t.tapdisk().answer(t.stats("paused", t.image));
        CHECK(t.state() == Session::paused);
        CHECK(t.session->is_paused());
    }
    SECTION("it has no image, and nobody waits for one") {
        t.tapdisk().answer({{"state", "closed"}});
        CHECK(t.state() == Session::ending);
        CHECK(t.tapdisk().terminated);
    }
}

TEST_CASE("disk session: a tapdisk that ended while nobody looked has its image held", "[unit][tapback]") {
    SessionHost t;
    t.tapdisks.runs = false;
    t.session->restore(t.old_record());
    CHECK(t.state() == Session::none);
    CHECK(t.session->image() == t.image);
    CHECK(t.ends == std::vector{DiskSession::End::was_away});
    CHECK_THAT(t.problem, StartsWith("its tapdisk ended while tapback was away; \"tap-ctl recover 5/51712\""));
}

TEST_CASE("disk session: one that cannot be asked is asked again, at longer and longer intervals", "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.tapdisk().lose();
    CHECK(t.state() == Session::lost);
    CHECK_THAT(t.problem, Contains("process 100, runs but cannot be asked: it hung up"));
    for (const Nanoseconds delay : {1s, 2s, 4s}) {
        t.turn(delay - 1ns);
        CHECK(t.tapdisk().asked().empty());
        t.turn(1ns);
        CHECK(t.state() == Session::lost);
    }
    t.tapdisk().reachable = true;
    t.turn(8s);
    CHECK(t.state() == Session::asking);
    t.tapdisk().answer(t.stats("open", t.image, true));
    CHECK(t.state() == Session::open);
    CHECK(t.problem.empty());
    // And once more, from the shortest.
    t.tapdisk().lose();
    t.turn(1s);
    CHECK_FALSE(t.tapdisk().terminated);
}

TEST_CASE("disk session: one that cannot be asked is ended all the same", "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.tapdisk().lose();
    t.session->end();
    CHECK(t.state() == Session::ending);
    t.turn(1min);
    CHECK(t.tapdisk().asked().empty());
    t.tapdisk().end("killed by signal 15");
    CHECK(t.ends == std::vector{DiskSession::End::asked});
}

TEST_CASE("disk session: what cannot be looked for is looked for again, and not taken for gone", "[unit][tapback]") {
    SessionHost t;
    t.tapdisks.fails = true;
    t.session->restore(t.old_record());
    CHECK(t.state() == Session::lost);
    CHECK_THAT(t.problem, Contains("cannot be looked for"));
    const auto refusal = testing::thrown([&] { t.session->call(ipc::Stats{}, {}, nullptr); });
    CHECK(refusal.code() == std::errc::resource_unavailable_try_again);
    CHECK_THAT(refusal.what(), Contains("5/51712: its tapdisk is being looked for"));
    t.session->end();
    CHECK(t.state() == Session::lost);
    t.turn(1s);
    CHECK(t.state() == Session::lost);
    t.tapdisks.fails = false;
    t.turn(2s);
    CHECK(t.state() == Session::asking);
    CHECK(t.record->process == t.tapdisk().id());
    t.session->end();
    CHECK(t.tapdisk().terminated);
}

TEST_CASE("disk session: a tapdisk of block-tap that dies before it has opened the image is replaced",
          "[unit][tapback]") {
    SessionHost t;
    t.may_revive = true;
    t.session->start(t.tap(true).image, nullptr, t.tap(true));
    t.tapdisk().end("killed by signal 9");
    CHECK(t.state() == Session::reviving);
    CHECK(t.ends == std::vector{DiskSession::End::revives});
    t.session->tidy();
    CHECK(t.tapdisk().pid() == 101);
    CHECK(t.state() == Session::opening);
    CHECK(t.session->tap()->name == ipc::TapArguments{4711, 3});
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::open);
}

TEST_CASE("disk session: a replacement that cannot be started is tried again, and the image stays", "[unit][tapback]") {
    SessionHost t;
    t.may_revive = true;
    t.session->start(t.tap(true).image, nullptr, t.tap(true));
    t.tapdisk().end("killed by signal 9");
    (GENERATE(false, true) ? t.full : t.tapdisks.fails) = true;
    t.session->tidy();
    CHECK(t.state() == Session::reviving);
    CHECK_FALSE(t.problem.empty());
    CHECK_THROWS_WITH(t.session->call(ipc::Stats{}, {}, nullptr), Contains("another one is about to go on"));
    CHECK(t.session->image() == t.tap(true).image);
    CHECK(t.record->image == t.session->image());
    t.full = t.tapdisks.fails = false;
    t.session->tidy();  // too early
    CHECK(t.state() == Session::reviving);
    SECTION("until it can be") {
        t.turn(1s);
        t.session->tidy();
        t.tapdisk().answer(t.device);
        CHECK(t.state() == Session::open);
        CHECK(t.problem.empty());
    }
    SECTION("unless the disk goes") {
        t.session->end();
        CHECK(t.state() == Session::none);
        CHECK_FALSE(t.record);
        t.turn(1min);
        t.session->tidy();
        CHECK(t.state() == Session::none);
    }
}

TEST_CASE("disk session: a tapdisk that answers what is no answer did not open the image", "[unit][tapback]") {
    SessionHost t;
    t.session->start(t.image, t.done());
    t.tapdisk().answer({{"size-sectors", "many"}});
    CHECK(t.state() == Session::ending);
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("exited with status 0");
    CHECK_THAT(t.told, Contains("failed: its tapdisk's answer: "));
    CHECK_FALSE(t.record);
}

TEST_CASE("disk session: a tapdisk that hangs up while it opens the image is ended, and replaced where it may be",
          "[unit][tapback]") {
    SessionHost t;
    t.may_revive = GENERATE(false, true);
    t.session->start(t.tap(true).image, nullptr, t.tap(true));
    t.tapdisk().lose();
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("killed by signal 9");
    t.session->tidy();
    CHECK(t.state() == (t.may_revive ? Session::opening : Session::none));
    CHECK(t.session->image());
}

TEST_CASE("disk session: an image of its own is not a name's of block-tap any more", "[unit][tapback]") {
    SessionHost t;
    t.session->start(t.tap(true).image, nullptr, t.tap(true));
    t.tapdisk().answer(t.device);
    t.tapdisk().end("killed by signal 9");
    t.session->start(t.image, t.done());
    CHECK(t.session->tap() == nullptr);
    CHECK_FALSE(t.record->tap);
}

TEST_CASE("disk session: block-tap's image is opened again for a disk that only reads", "[unit][tapback]") {
    SessionHost t;
    DiskSession made(t.places(), {"of tap-0", "tap-0.sock", false}, t.hooks());
    made.start_idle();
    t.session->take(t.tap(true), made);
    CHECK(made.tapdisk() == nullptr);
    CHECK(t.record->socket == "tap-0.sock");
    CHECK(t.state() == Session::asking);
    t.tapdisk().answer(t.stats("open", t.image));
    CHECK(t.tapdisk().asked() == "close ");
    SECTION("at once") {
        t.tapdisk().answer();
        CHECK(t.tapdisk().asked() == "open ");
        CHECK(t.tapdisk().arguments().at("read-only") == true);
        t.tapdisk().answer(t.device);
        CHECK(t.state() == Session::open);
    }
    SECTION("when the storage process of an earlier tapback has let go of it") {
        t.tapdisk().answer();
        t.tapdisk().fail(std::make_error_code(std::errc::device_or_resource_busy), "in use by another process");
        CHECK(t.state() == Session::asking);
        CHECK(t.problem == "in use by another process");
        t.turn(1s);
        t.tapdisk().answer({{"state", "closed"}});
        CHECK(t.tapdisk().asked() == "open ");
        t.tapdisk().answer(t.device);
        CHECK(t.state() == Session::open);
        CHECK(t.problem.empty());
    }
    SECTION("when the one who asked for the same has had its answer") {
        t.tapdisk().fail(make_error_code(Errc::wrong_state), "closing already");
        CHECK(t.state() == Session::asking);
        t.turn(1s);
        CHECK(t.tapdisk().asked() == "stats ");
        t.tapdisk().answer({{"state", "closed"}});
        CHECK(t.tapdisk().asked() == "open ");
    }
}

TEST_CASE("disk session: a tapdisk whose record cannot be written stays whose it was", "[unit][tapback]") {
    SessionHost t;
    DiskSession made(t.places(), {"of tap-0", "tap-0.sock", false}, t.hooks());
    made.start_idle();
    t.full = true;
    CHECK_THROWS_AS(t.session->take(t.tap(false), made), std::system_error);
    CHECK(made.tapdisk() != nullptr);
    CHECK(made.socket_path() == t.run_directory + "/tap-0.sock");
    CHECK(t.session->tap() == nullptr);
    CHECK_FALSE(t.session->image());
    CHECK(t.session->socket_path() == t.run_directory + "/5-51712.sock");
}

TEST_CASE("disk session: who attaches hears that the tapdisk died meanwhile, whatever may be started instead",
          "[unit][tapback]") {
    SessionHost t;
    t.may_revive = true;
    t.session->start(t.image, t.done());
    t.tapdisk().end("killed by signal 11");
    CHECK_THAT(t.told, Contains("failed: "));
    CHECK(t.state() == Session::none);
    CHECK_FALSE(t.record);
}
