// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What becomes of a pause, and of a resume with another image, where the tapdisk dies. The tapdisks answer when the
// test says so.
#include "tests/unit/tapback/session/revival_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

const ipc::ImageArguments moved{"raw", "/moved/a", false, {}};

/// The disk is paused, and its tapdisk has not answered yet whether it has resumed with another image.
void ask_for_moved(RevivalHost& t) {
    t.session->pausing().pause(t.done());
    t.tapdisk().answer();
    t.session->pausing().resume(moved, true, false, t.done());
}

}  // namespace

TEST_CASE("revival: a pause outlives tapback and tapdisk, and a failed one only where nobody knows that it failed",
          "[unit][tapback]") {
    RevivalHost t;
    t.session->pausing().pause(t.done());
    const bool is_known = GENERATE(false, true);
    if (is_known) {
        t.die();
        CHECK_THAT(t.told, Contains("failed: gone"));
    } else {
        t.tapdisks.runs = false;
        t.restart();
        t.session->tidy();
    }
    t.become_adopted();
    CHECK(t.state() == (is_known ? Session::recovering : Session::paused));
    CHECK(t.tapdisk().asked() == (is_known ? "resume " : "watch "));
}

TEST_CASE("revival: a tapdisk says itself whether it was resumed, whatever the record says", "[unit][tapback]") {
    RevivalHost t;
    t.die();
    ipc::Json says = t.stats("paused", t.image, true);
    SECTION("it was, and an operator has paused it since: it stays so") {
        REQUIRE(t.record->recovering);
        says["recovering"] = false;
        SECTION("it says so to the next tapback") {
            t.restart();
            t.tapdisk().answer(says);
            CHECK(t.connected == true);
        }
        SECTION("or to this one, which could not ask it for a while") {
            t.tapdisk().answer(says);
        }
        CHECK(t.state() == Session::paused);
        CHECK(t.tapdisk().asked() == "watch ");
        CHECK(t.record->paused);
    }
    SECTION("it was not: it is resumed") {
        t.record->recovering = false;
        t.restart();
        says["recovering"] = true;
        t.tapdisk().answer(says);
        CHECK(t.state() == Session::recovering);
        t.tapdisk().answer(says);
        CHECK(t.tapdisk().asked() == "resume ");
    }
}

TEST_CASE("revival: of two images the successor gets the one that was asked for last, and says which it has",
          "[unit][tapback]") {
    RevivalHost t;
    ask_for_moved(t);
    REQUIRE(t.record->next == moved);
    t.die();
    CHECK(t.record->image == t.image);
    CHECK(t.record->next == moved);
    t.say("closed");
    CHECK(t.tapdisk().arguments().at("image").at("path") == "/moved/a");
    t.tapdisk().answer();
    t.say("paused");
    t.tapdisk().answer(t.device);
    t.tapdisk().answer(t.stats("open", moved, true));  // an operator had it resume
    CHECK(t.state() == Session::open);
    CHECK(t.session->image() == moved);
    CHECK(t.record->image == moved);
    CHECK_FALSE(t.record->next);
}

TEST_CASE("revival: while neither of two images was opened either may be named, and a plain resume takes the last",
          "[unit][tapback]") {
    RevivalHost t;
    ask_for_moved(t);
    t.die();
    const auto says = [&](const std::string& state_name, const ipc::ImageArguments& image) {
        t.tapdisk().answer(t.stats(state_name, image, true));
    };
    says("closed", moved);
    t.tapdisk().answer();
    says("paused", moved);  // it was told so by "recover"
    REQUIRE(t.state() == Session::paused);
    t.tapdisk().answer(ipc::Problems{});
    if (GENERATE(false, true)) {
        t.restart();
        says("paused", moved);
        REQUIRE(t.state() == Session::paused);
        t.tapdisk().answer(ipc::Problems{});
    }
    CHECK(t.session->image() == t.image);
    CHECK(t.session->image_asked_for() == moved);
    const auto resume = [&](const ipc::ImageArguments& image) {
        t.session->pausing().resume(image, true, false, t.done());
        CHECK(t.tapdisk().arguments().at("image").at("path") == image.path);
    };
    SECTION("the last") {
        resume(moved);
        t.tapdisk().answer(t.device);
        CHECK(t.session->image() == moved);
    }
    SECTION("the one from before") {
        resume(t.image);
        CHECK(t.session->image_asked_for() == t.image);
        SECTION("which opens") {
            t.tapdisk().answer(t.device);
            CHECK(t.session->image() == t.image);
        }
        SECTION("before which that tapdisk dies, and tapback: it was asked for last") {
            t.tapdisks.runs = false;
            t.restart();
            CHECK(t.session->image_asked_for() == t.image);
            return;
        }
    }
    SECTION("the last, which is refused, then any other") {
        resume(moved);
        t.tapdisk().fail(std::make_error_code(std::errc::no_such_file_or_directory), "/moved/a");
        CHECK(t.session->image() == t.image);
        CHECK_FALSE(t.record->next);
        const ipc::ImageArguments third{"raw", "/third/a", false, {}};
        resume(third);
        t.tapdisk().answer(t.device);
        CHECK(t.session->image() == third);
    }
    CHECK(t.state() == Session::open);
    CHECK(t.record->image == t.session->image());
    CHECK_FALSE(t.record->next);
}
