// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSession with tapdisks that answer when the test says so, and a clock that is turned by hand.
#include "control/tapback/disk_session.hpp"

#include "tests/unit/tapback/fake_tapdisk.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

constexpr ipc::VbdAddress session_disk{ipc::VbdAddress::Kind::vbd3, 5, 51712};

/// One session, and what it told its disk.
struct SessionHost {
    SessionHost() { session.emplace(DiskSession::Places{loop, tapdisks, files, "/run"}, session_disk, hooks()); }
    SessionHost(const SessionHost&) = delete;
    SessionHost& operator=(const SessionHost&) = delete;

    DiskSession::Hooks hooks() {
        return {.changed = [] {},
                .write_record =
                    [this] {
                        if (full) throw_error(std::make_error_code(std::errc::no_space_on_device), "the record");
                        record.emplace(VbdRecord{.backend = session_disk});
                        session->put_into(*record);
                    },
                .remove_record = [this] { record.reset(); },
                .problem = [this](const std::string& text) { problem = text; },
                .may_revive = [this] { return may_revive; },
                .opened = [] {},
                .found = [this](bool is_connected) { connected = is_connected; },
                .problems = [](const ipc::Problems&) {},
                .ended = [this](DiskSession::End how) { ends.push_back(how); }};
    }
    FakeTapdisk& tapdisk() const { return *tapdisks.last; }
    Session state() const { return session->state(); }
    DiskSession::Done done() {
        return [this](const ipc::Reply& reply) {
            told += reply.error_code.empty() ? "done " : "failed: " + reply.error_message + ' ';
        };
    }
    void start() {
        session->start(image, done());
        tapdisk().answer(device);
        tapdisk().answer(ipc::Problems{});  // "watch"
    }
    void turn(Nanoseconds time) {
        clock.advance(time);
        loop.run_once(0ns);
    }
    ipc::Json stats(const std::string& state_name, const ipc::ImageArguments& of, bool is_connected = false) const {
        return {{"state", state_name},
                {"connected", is_connected},
                {"image", {{"format", of.format}, {"path", of.path}, {"device", device}}}};
    }
    VbdRecord old_record() const {
        return {.backend = session_disk, .image = image, .process = ProcessId{.pid = 99, .start_ticks = 7}};
    }
    VbdTap tap(bool read_only) const { return {{4711, 3}, {"raw", "/images/a", read_only, {}}}; }

    ManualClock clock{};
    EventLoop loop{clock};
    FakeTapdisks tapdisks{};
    /// No disk has files here.
    ImageFiles files{loop, {{"/"}, {}}, []() -> ipc::MessageSocket { throw_error(Errc::wrong_state, "storage"); }};
    const ipc::ImageArguments image{"raw", "/images/a", false, {}};
    const ipc::Json device = ipc::DeviceDescription{.size_sectors = 8};
    bool full = false;
    bool may_revive = false;
    std::optional<VbdRecord> record{};
    std::string problem{};
    std::optional<bool> connected{};
    std::vector<DiskSession::End> ends{};
    std::string told{};
    std::optional<DiskSession> session{};
};

}  // namespace

TEST_CASE("disk session: an image is open when its tapdisk says so, and recorded before that runs", "[unit][tapback]") {
    SessionHost t;
    t.session->start(t.image, t.done());
    CHECK(t.state() == Session::opening);
    CHECK(t.tapdisks.socket == "/run/5-51712.sock");
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
    CHECK_THROWS_AS(t.session->pause(t.done()), std::system_error);
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
    CHECK(t.problem == (asked ? "" : "its tapdisk killed by signal 9"));
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
    CHECK(t.problem == "its tapdisk ended while tapback was away");
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

TEST_CASE("disk session: a tapdisk of block-tap that dies before a guest came is replaced, once", "[unit][tapback]") {
    SessionHost t;
    t.may_revive = true;
    t.session->share(t.tap(true));
    t.tapdisk().end("killed by signal 9");
    CHECK(t.state() == Session::reviving);
    CHECK(t.ends == std::vector{DiskSession::End::revives});
    t.session->tidy();
    CHECK(t.tapdisk().pid() == 101);
    CHECK(t.state() == Session::opening);
    CHECK(t.session->tap()->name == ipc::TapArguments{4711, 3});
    t.tapdisk().answer(t.device);
    CHECK(t.state() == Session::open);
    t.tapdisk().end("killed by signal 9");
    CHECK(t.state() == Session::none);
    CHECK(t.session->image());
}

TEST_CASE("disk session: a replacement that cannot be started leaves a disk without an image", "[unit][tapback]") {
    SessionHost t;
    t.may_revive = true;
    t.session->share(t.tap(true));
    t.tapdisk().end("killed by signal 9");
    t.tapdisks.fails = true;
    t.session->tidy();
    CHECK(t.state() == Session::none);
    CHECK_THAT(t.problem, Contains("tapdisk"));
    CHECK_FALSE(t.record);
}

TEST_CASE("disk session: block-tap's image is opened again for a disk that only reads", "[unit][tapback]") {
    SessionHost t;
    std::unique_ptr<TapdiskHandle> made = t.tapdisks.start("/run/tap-0.sock", {});
    t.session->take(t.tap(true), "tap-0.sock", made);
    CHECK(made == nullptr);
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
    std::unique_ptr<TapdiskHandle> made = t.tapdisks.start("/run/tap-0.sock", {});
    t.full = true;
    CHECK_THROWS_AS(t.session->take(t.tap(false), "tap-0.sock", made), std::system_error);
    CHECK(made != nullptr);
    CHECK(t.session->tap() == nullptr);
    CHECK_FALSE(t.session->image());
    CHECK(t.session->socket_path() == "/run/5-51712.sock");
}

TEST_CASE("disk session: a pause counts from when it is asked for, unless it is refused", "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.told.clear();
    t.session->pause(t.done());
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
        CHECK(t.state() == Session::open);
        CHECK_FALSE(t.session->is_paused());
    }
}

TEST_CASE("disk session: while another image is asked for, the record has both", "[unit][tapback]") {
    SessionHost t;
    t.start();
    t.session->pause(t.done());
    t.tapdisk().answer();
    const ipc::ImageArguments next{"qcow2", "/images/b", false, {}};
    t.session->resume(next, true, false, t.done());
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
