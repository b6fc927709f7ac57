// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSession: pause and resume, also where an answer is lost.
#include "tests/unit/tapback/session/session_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

TEST_CASE("disk session: a pause counts from when it is asked for, unless it is refused", "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.told.clear();
    t.session->pausing().pause(t.done());
    CHECK(t.session->is_paused());
    SECTION("it pauses") {
        t.tapdisk().answer();
        CHECK(t.state() == Session::paused);
        CHECK(t.told == "done ");
    }
    SECTION("its last flush failed: it is paused all the same") {
        t.tapdisk().fail(std::make_error_code(std::errc::no_space_on_device), "full");
        CHECK(t.state() == Session::paused);
        CHECK(t.told == "failed: full ");
    }
    SECTION("something is in the way") {
        t.tapdisk().fail(make_error_code(Errc::wrong_state), "busy");
        t.tapdisk().answer(t.stats("open", t.image));
        CHECK(t.told == "failed: busy ");
        CHECK(t.state() == Session::open);
        CHECK_FALSE(t.session->is_paused());
    }
}

TEST_CASE("disk session: a pause is in the record before the tapdisk is asked for it, or is not asked for",
          "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.told.clear();
    SECTION("it cannot be recorded") {
        t.full = true;
        CHECK_THROWS_WITH(t.session->pausing().pause(t.done()), Contains("No space left on device"));
        CHECK(t.tapdisk().asked().empty());
        CHECK_FALSE(t.session->is_paused());
        t.full = false;
        t.try_to_record();
        CHECK_FALSE(t.record->paused);
        return;
    }
    t.session->pausing().pause(t.done());
    CHECK(t.record->paused);
    SECTION("it pauses, and nothing more can be recorded") {
        t.full = true;
        t.tapdisk().answer();
        CHECK(t.told == "done ");
        CHECK(t.record->paused);
    }
    SECTION("it is not paused, and the record says so") {
        t.tapdisk().fail(make_error_code(Errc::wrong_state), "busy");
        t.tapdisk().answer(t.stats("open", t.image));
        CHECK_FALSE(t.record->paused);
    }
    SECTION("the next tapback asks the tapdisk") {
        t.restart();
        t.tapdisk().answer(t.stats("open", t.image));
        CHECK(t.state() == Session::open);
        CHECK_FALSE(t.record->paused);
    }
}

TEST_CASE("disk session: while another image is asked for, the record has both", "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.session->pausing().pause(t.done());
    t.tapdisk().answer();
    const ipc::ImageArguments next{"qcow2", "/images/b", false, {}};
    t.session->pausing().resume(next, true, false, t.done());
    CHECK(t.record->image == t.image);
    CHECK(t.record->next == next);
    SECTION("it is opened") {
        t.tapdisk().answer();
        CHECK(t.state() == Session::open);
        CHECK(t.session->image() == next);
    }
    SECTION("it is not") {
        t.tapdisk().fail(std::make_error_code(std::errc::permission_denied), "no right to it");
        CHECK(t.state() == Session::paused);
        CHECK(t.session->image() == t.image);
    }
    CHECK(t.record->image == t.session->image());
    CHECK_FALSE(t.record->next);
}

TEST_CASE("disk session: where the answer to a resume is lost, the tapdisk says which image it has",
          "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.session->pausing().pause(t.done());
    t.tapdisk().answer();
    const ipc::ImageArguments next{"qcow2", "/images/b", false, {}};
    t.session->pausing().resume(next, true, false, t.done());
    t.told.clear();
    t.tapdisk().lose();
    CHECK(t.told == "failed: gone ");
    CHECK(t.state() == Session::lost);
    CHECK(t.record->image == t.image);
    CHECK(t.record->next == next);
    const ipc::ImageArguments third{"raw", "/images/c", false, {}};
    CHECK_THROWS_WITH(t.session->pausing().resume(third, true, false, t.done()), Contains("name one of these"));
    t.tapdisk().reachable = true;
    t.turn(1s);
    SECTION("the one that it was asked for") {
        t.tapdisk().answer(t.stats("open", next));
        CHECK(t.state() == Session::open);
        CHECK(t.session->image() == next);
        CHECK(t.record->image == next);
        CHECK_FALSE(t.record->next);
    }
    SECTION("none yet: it is paused, and may be opening the next one") {
        t.tapdisk().answer(t.stats("paused", t.image));
        CHECK(t.state() == Session::paused);
        CHECK(t.session->image() == t.image);
        CHECK(t.record->image == t.image);
        CHECK(t.record->next == next);
        t.tapdisk().answer(ipc::Problems{});
        t.told.clear();
        SECTION("it does not open it") {
            t.session->pausing().resume(next, true, false, t.done());
            t.tapdisk().fail(std::make_error_code(std::errc::permission_denied), "no right to it");
            CHECK(t.record->image == t.image);
            CHECK_FALSE(t.record->next);
        }
        SECTION("it opens it, while it is asked for the one from before") {
            t.session->pausing().resume(t.image, true, false, t.done());
            t.tapdisk().fail(make_error_code(Errc::wrong_state), "an image is being opened");
            CHECK(t.told == "failed: an image is being opened ");
            t.tapdisk().answer(t.stats("open", next));
            CHECK(t.state() == Session::open);
            CHECK(t.session->image() == next);
            CHECK(t.record->image == next);
            CHECK_FALSE(t.record->next);
        }
    }
    SECTION("one that nobody asked for, which is not adopted") {
        t.tapdisk().answer(t.stats("open", {"raw", "/images/c", false, {}}));
        CHECK(t.state() == Session::lost);
        CHECK_FALSE(t.connected);
        CHECK_THAT(t.problem, Contains("serves /images/c, which it was not asked for"));
        CHECK(t.session->image() == t.image);
        CHECK(t.record->next == next);
        CHECK_FALSE(t.tapdisk().terminated);
        t.turn(2s);
        t.tapdisk().answer(t.stats("open", next));
        CHECK(t.session->image() == next);
        CHECK(t.problem.empty());
    }
}

TEST_CASE("disk session: a tapdisk that says it is paused is, whoever had the answer, and its files are let go of",
          "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.told.clear();
    t.hold_image();
    SECTION("the answer to the pause is lost") {
        t.session->pausing().pause(t.done());
        t.tapdisk().lose();
        CHECK(t.told == "failed: gone ");
        t.tapdisk().reachable = true;
        t.turn(1s);
        SECTION("it is paused by then") {
            t.tapdisk().answer(t.stats("paused", t.image));
            t.tapdisk().answer(ipc::Problems{});
        }
        SECTION("it pauses later") {
            t.tapdisk().answer(t.stats("open", t.image));
            t.tapdisk().answer(ipc::Problems{});
            CHECK(t.state() == Session::open);
            CHECK_FALSE(t.session->is_paused());
            t.turn(1s);
            t.tapdisk().answer(t.stats("open", t.image));
            t.turn(2s);
            t.tapdisk().answer(t.stats("paused", t.image));
        }
    }
    SECTION("it was paused before, and is to be once more") {
        t.session->pausing().pause(t.done());
        t.tapdisk().fail(make_error_code(Errc::wrong_state), "paused already");
        t.tapdisk().answer(t.stats("paused", t.image));
        CHECK(t.told == "failed: paused already ");
    }
    CHECK(t.state() == Session::paused);
    CHECK_THAT(t.asked_of_storage(), Catch::EndsWith("release "));
    t.turn(1min);
    CHECK(t.tapdisk().asked().empty());
}

TEST_CASE("disk session: a resume names the image to a tapdisk that is paused, though it is taken for open",
          "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.told.clear();
    t.hold_image();
    t.session->pausing().resume(t.image, false, false, t.done());
    CHECK(t.tapdisk().asked() == "stats ");
    SECTION("it is paused") {
        t.tapdisk().answer(t.stats("paused", t.image));
        CHECK(t.asked_of_storage() == "take release ");
        CHECK(t.tapdisk().arguments().at("image").at("path") == t.image.path);
    }
    SECTION("it is open, and tries again what waits") {
        t.tapdisk().answer(t.stats("open", t.image));
        CHECK(t.asked_of_storage() == "take ");
        CHECK_FALSE(t.tapdisk().arguments().contains("image"));
    }
    SECTION("it does not say") {
        t.tapdisk().answer({{"state", 5}});
        CHECK_THAT(t.told, Contains("failed: "));
        CHECK(t.tapdisk().asked().empty());
        return;
    }
    t.tapdisk().answer();
    CHECK(t.told == "done ");
    CHECK(t.state() == Session::open);
}

TEST_CASE("disk session: a resume that is asked for before it is known which image there is names that",
          "[unit][tapback]") {
    SessionHost t;
    VbdRecord record = t.old_record();
    record.next = ipc::ImageArguments{"qcow2", "/images/b", false, {}};
    t.session->restore(record);
    t.session->pausing().resume(t.image, false, false, t.done());
    t.tapdisk().answer(t.stats("paused", *record.next));
    t.tapdisk().answer(t.stats("paused", *record.next));
    t.tapdisk().answer(ipc::Problems{});
    CHECK(t.tapdisk().asked() == "resume ");
    CHECK(t.tapdisk().arguments().at("image").at("path") == "/images/b");
}

TEST_CASE("disk session: of two resumes with the same image each has its answer, and the image stays",
          "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.session->pausing().pause(t.done());
    t.tapdisk().answer();
    t.told.clear();
    const ipc::ImageArguments next{"qcow2", "/images/b", false, {}};
    t.session->pausing().resume(next, true, false, t.done());
    t.session->pausing().resume(next, true, false, t.done());
    t.tapdisk().answer();
    t.tapdisk().fail(make_error_code(Errc::wrong_state), "not paused");
    CHECK(t.told == "done failed: not paused ");
    CHECK(t.session->image() == next);
    CHECK(t.record->image == next);
}
