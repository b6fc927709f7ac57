// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk that dies while its image is open has a successor. The tapdisks answer when the test says so.
#include "tests/unit/tapback/session/revival_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;
using Catch::StartsWith;

TEST_CASE("revival: another tapdisk becomes the paused disk, adopts the rings and opens the image", "[unit][tapback]") {
    RevivalHost t;
    t.die();
    CHECK(t.tapdisk().pid() == 101);
    CHECK(t.ends == std::vector{DiskSession::End::revives});
    CHECK(t.state() == Session::recovering);
    CHECK(t.record->recovering);
    t.say("closed");
    CHECK(t.tapdisk().asked() == "recover ");
    CHECK(t.tapdisk().arguments().at("image").at("path") == "/images/a");
    CHECK(t.tapdisk().arguments().at("device").at("size-sectors") == 8);
    t.tapdisk().answer();
    t.say("paused");
    CHECK(t.tapdisk().asked() == "adopt ");
    t.tapdisk().answer(t.device);
    t.say("paused", true);
    CHECK(t.tapdisk().asked() == "resume ");
    CHECK(t.tapdisk().arguments().at("image").at("path") == "/images/a");
    CHECK(t.state() == Session::recovering);
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::open);
    CHECK(t.tapdisk().asked() == "watch ");
    CHECK_FALSE(t.record->recovering);
    CHECK(t.problem.empty());
}

TEST_CASE("revival: where no guest is connected there are no rings to adopt", "[unit][tapback]") {
    RevivalHost t;
    t.has_rings = false;
    t.die();
    t.say("closed");
    t.tapdisk().answer();
    t.say("paused");
    CHECK(t.tapdisk().asked() == "resume ");
}

TEST_CASE("revival: a disk that was paused stays so, until it is resumed", "[unit][tapback]") {
    RevivalHost t;
    t.session->pausing().pause(t.done());
    t.tapdisk().answer();
    CHECK(t.record->paused);
    t.die();
    t.become_adopted();
    CHECK(t.state() == Session::paused);
    CHECK(t.record->paused);
    CHECK_FALSE(t.record->recovering);
    t.tapdisk().answer(ipc::Problems{});  // "watch"
    t.session->pausing().resume(t.image, true, false, t.done());
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::open);
    CHECK_FALSE(t.record->paused);
}

TEST_CASE("revival: what is not released yet is waited for", "[unit][tapback]") {
    RevivalHost t;
    SECTION("event channels") {
        t.recover();
        t.tapdisk().fail(std::make_error_code(std::errc::device_or_resource_busy), "port 3: in use");
        CHECK(t.problem == "port 3: in use");
        t.turn(1s);
        t.say("paused");
        CHECK(t.tapdisk().asked() == "adopt ");
        t.tapdisk().answer(t.device);
        t.say("paused", true);
    }
    SECTION("the image") {
        t.adopt();
        t.tapdisk().fail(std::make_error_code(std::errc::device_or_resource_busy), "/images/a: in use");
        CHECK(t.problem == "/images/a: in use");
        t.turn(1s);
        t.say("paused", true);
    }
    SECTION("storage that is away") {
        t.adopt();
        t.tapdisk().fail(std::make_error_code(std::errc::no_such_file_or_directory), "/images/a");
        t.turn(1s);
        t.say("paused", true);
    }
    CHECK(t.tapdisk().asked() == "resume ");
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::open);
    CHECK(t.problem.empty());
}

TEST_CASE("revival: an operator may name the image's new path meanwhile", "[unit][tapback]") {
    RevivalHost t;
    t.adopt();
    t.tapdisk().fail(std::make_error_code(std::errc::no_such_file_or_directory), "/images/a");
    const ipc::ImageArguments moved{"raw", "/moved/a", false, {}};
    t.session->pausing().resume(moved, true, false, t.done());
    t.say("paused", true);
    CHECK(t.tapdisk().asked() == "resume ");
    CHECK(t.tapdisk().arguments().at("image").at("path") == "/moved/a");
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::recovering);
    t.tapdisk().answer(t.stats("open", moved, true));
    CHECK(t.state() == Session::open);
    CHECK(t.session->image() == moved);
    CHECK_FALSE(t.record->recovering);
}

TEST_CASE("revival: nobody has a tapdisk resume that has not adopted the rings yet", "[unit][tapback]") {
    RevivalHost t;
    t.recover();
    CHECK_THROWS_WITH(t.session->pausing().pause(t.done()), Contains("another one is about to go on"));
    t.session->pausing().resume(t.image, GENERATE(true, false), false, t.done());
    REQUIRE(t.tapdisk().asked() == "adopt stats ");
    t.tapdisk().answer(t.device);
    t.tapdisk().answer(t.stats("paused", t.image));  // the answer to the resume's question
    CHECK_THAT(t.told, Contains("failed: 5/51712: its tapdisk has died, and another one is about to go on"));
    t.say("paused", true);
    CHECK(t.tapdisk().asked() == "resume ");
}

TEST_CASE("revival: a tapdisk that cannot go on ends, and the image is held", "[unit][tapback]") {
    RevivalHost t;
    const bool is_old_program = GENERATE(true, false);
    if (is_old_program) {
        t.die();
        t.say("closed");
        t.tapdisk().fail(make_error_code(Errc::unknown_request), "\"recover\"");
    } else {
        t.recover();
        t.tapdisk().fail(make_error_code(Errc::bad_message), "the recovery log is damaged");
    }
    CHECK(t.state() == Session::holding);
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("exited with status 0");
    CHECK(t.state() == Session::none);
    CHECK(t.session->image());
    CHECK(t.record);
    CHECK(t.ends.back() == DiskSession::End::held);
    CHECK_THAT(t.problem, StartsWith("its tapdisk has died, and another one cannot go on: "));
    if (GENERATE(false, true)) {
        t.tapdisks.runs = false;
        t.restart();
        CHECK(t.state() == Session::none);
        CHECK_THAT(t.problem, StartsWith("its tapdisk has died, and another one cannot go on; "));
    }
    SECTION("an operator has it tried again") {
        t.session->replace(SessionEvent::revive, t.done());
        t.session->tidy();
        CHECK(t.tapdisk().pid() == 102);
        CHECK(t.state() == Session::recovering);
    }
    SECTION("or takes the disk away") {
        t.session->forget_image();
        CHECK_FALSE(t.record);
    }
}

TEST_CASE("revival: after too many deaths the image is held, and an operator begins anew", "[unit][tapback]") {
    RevivalHost t;
    t.die();
    t.die();
    CHECK(t.state() == Session::recovering);
    t.tapdisk().end("killed by signal 11");
    CHECK(t.state() == Session::none);
    CHECK_THAT(t.problem, Contains("killed by signal 11 at ") && Contains("the last of 3 within a minute"));
    CHECK_THROWS_WITH(t.session->pausing().pause(t.done()), Contains("\"tap-ctl recover 5/51712\" starts another one"));
    if (GENERATE(false, true)) {
        t.tapdisks.runs = false;
        t.turn(10min);
        t.restart();
        CHECK(t.state() == Session::none);
        CHECK(t.ends.back() == DiskSession::End::was_away);
        CHECK_THAT(t.problem, Contains("the last of 3 within a minute"));
        CHECK(t.record->held == t.problem);
    }
    t.session->replace(SessionEvent::revive, t.done());
    CHECK(t.ends.back() == DiskSession::End::revives);
    t.session->tidy();
    CHECK(t.state() == Session::recovering);
    t.become_adopted();
    CHECK(t.told.empty());
    t.tapdisk().answer(t.device);
    CHECK(t.told == "done ");
    CHECK_THROWS_AS(t.session->replace(SessionEvent::revive, t.done()), std::system_error);
}

TEST_CASE("revival: where tapback dies with each tapdisk, the deaths are counted all the same", "[unit][tapback]") {
    RevivalHost t;
    t.tapdisks.runs = false;
    for (int deaths = 1; deaths < 3; ++deaths) {
        t.turn(1s);
        t.restart();
        CHECK(t.state() == Session::reviving);
        t.session->tidy();
    }
    t.restart();
    CHECK(t.state() == Session::none);
    CHECK_THAT(t.problem, Contains("ended while tapback was away") && Contains("starts another one"));
}

TEST_CASE("revival: who asked for it hears that it failed", "[unit][tapback]") {
    RevivalHost t;
    for (int i = 0; i < 3; ++i)
        t.die();
    t.session->replace(SessionEvent::revive, t.done());
    t.session->tidy();
    SECTION("the tapdisk refuses") {
        t.say("closed");
        t.tapdisk().fail(make_error_code(Errc::bad_message), "its log is damaged");
        CHECK_THAT(t.told, Contains("failed: its log is damaged"));
    }
    SECTION("it dies, too") {
        for (int i = 0; i < 3; ++i)
            t.die();
        CHECK_THAT(t.told, Contains("failed: its tapdisk killed by signal 9"));
    }
    SECTION("the disk goes") {
        t.session->end();
        t.tapdisk().end("exited with status 0");
        CHECK_THAT(t.told, Contains("failed: "));
    }
}

TEST_CASE("revival: the next tapback goes on where this one was killed", "[unit][tapback]") {
    RevivalHost t;
    SECTION("before another tapdisk was started") {
        t.tapdisks.runs = false;
        t.restart();
        CHECK(t.state() == Session::reviving);
        CHECK(t.ends == std::vector{DiskSession::End::revives});
        t.session->tidy();
        t.say("closed");
        CHECK(t.tapdisk().asked() == "recover ");
        return;
    }
    t.die();
    CHECK(t.record->recovering);
    t.restart();
    CHECK(t.state() == Session::asking);
    SECTION("the tapdisk knows nothing yet") {
        t.say("closed");
        CHECK(t.state() == Session::recovering);
        t.say("closed");
        CHECK(t.tapdisk().asked() == "recover ");
    }
    SECTION("it is the paused disk") {
        t.say("paused");
        t.say("paused");
        CHECK(t.tapdisk().asked() == "adopt ");
    }
    SECTION("it has adopted the rings") {
        t.say("paused", true);
        CHECK(t.connected == true);
        t.say("paused", true);
        CHECK(t.tapdisk().asked() == "resume ");
    }
    SECTION("all is done") {
        t.say("open", true);
        CHECK(t.state() == Session::open);
        CHECK_FALSE(t.record->recovering);
    }
}

TEST_CASE("revival: one that cannot be asked for a while is asked again", "[unit][tapback]") {
    RevivalHost t;
    t.recover();
    t.tapdisk().lose();
    CHECK(t.state() == Session::lost);
    t.tapdisk().reachable = true;
    t.turn(1s);
    t.say("paused");
    CHECK(t.state() == Session::recovering);
    t.say("paused");
    CHECK(t.tapdisk().asked() == "adopt ");
}

TEST_CASE("revival: it is given up with its disk", "[unit][tapback]") {
    RevivalHost t;
    SECTION("before another tapdisk was started") {
        t.tapdisk().end("killed by signal 9");
        t.session->end();
        CHECK(t.ends.back() == DiskSession::End::asked);
    }
    SECTION("while it adopts the rings") {
        t.recover();
        t.session->end();
        CHECK(t.tapdisk().terminated);
        t.tapdisk().answer(t.device);
        CHECK(t.tapdisk().asked().empty());
        t.tapdisk().end("exited with status 0");
    }
    CHECK(t.state() == Session::none);
    CHECK_FALSE(t.session->image());
    CHECK_FALSE(t.record);
}

TEST_CASE("revival: who waits for another tapdisk hears that the disk was taken away", "[unit][tapback]") {
    RevivalHost t;
    for (int i = 0; i < 3; ++i)
        t.die();
    t.session->replace(SessionEvent::revive, t.done());
    t.session->end();
    CHECK_THAT(t.told, Contains("failed: 5/51712: was taken away"));
}
