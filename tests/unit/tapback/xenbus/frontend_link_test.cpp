// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FrontendLink with Debian's own xenstored, and tapdisks that answer when the test says so.
#include "control/tapback/xenbus/frontend_link.hpp"

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"
#include "tests/support/xenstored.hpp"
#include "tests/unit/tapback/session/fake_tapdisk.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

constexpr ipc::VbdAddress linked_disk{ipc::VbdAddress::Kind::vbd3, 5, 51712};

/// A disk whose image is open, and its frontend.
struct LinkHost {
    static constexpr const char* frontend = "/local/domain/5/device/vbd/51712";

    LinkHost() {
        store_session.connect();
        write_backend("frontend", frontend);
        write_backend("max-ring-pages", "16");
        write_backend("multi-queue-max-queues", "4");
        publish("8", "3");
        directory.emplace(store_session, linked_disk, "");
        REQUIRE(directory->look([](const auto&) { return true; }) == BackendDirectory::Seen::there);
        const std::string run = files_directory.path("");
        session.emplace(DiskSession::Places{loop, tapdisks, files, run},
                        DiskSession::Owner{linked_disk.name(), linked_disk.file_name() + ".sock", true},
                        DiskSession::Hooks{.changed = [] {},
                                           .write_record = [] {},
                                           .try_to_record = [] {},
                                           .remove_record = [] {},
                                           .problem = [](const auto&) {},
                                           .may_revive = [] { return false; },
                                           .opened = [] {},
                                           .found = [](bool, bool) {},
                                           .problems = [](const auto&) {},
                                           .ended = [this](auto how) { link->tapdisk_ended(how, domain_died); }});
        link.emplace(FrontendLink::Places{store_session, tapdisks, recovery_log()}, linked_disk, *directory, *session,
                     FrontendLink::Hooks{.changed = [] {},
                                         .changed_later = [this] { ++later; },
                                         .write_record =
                                             [this] {
                                                 if (full) throw_error(no_space, "the record");
                                                 recorded = link->rings();
                                             },
                                         .try_to_record = [this] { recorded = link->rings(); },
                                         .problem = [this](const std::string& text) { problem = text; },
                                         .when_io_is_over = [this](const auto& then) { io_is_over = then; }});
        session->start({"raw", "/images/a", false, {}}, [](const auto&) {});
        tapdisk().answer(device);
        tapdisk().answer(ipc::Problems{});
        REQUIRE(link->follow(frontend));
    }
    LinkHost(const LinkHost&) = delete;
    LinkHost& operator=(const LinkHost&) = delete;

    FakeTapdisk& tapdisk() const { return *tapdisks.last; }
    std::string recovery_log() const { return files_directory.path("log"); }
    void write_backend(const std::string& name, const std::string& value) const {
        store_session.require().write(linked_disk.backend_path() + '/' + name, value);
    }
    void write(const std::string& name, const std::string& value) const {
        store_session.require().write(std::string(frontend) + '/' + name, value);
    }
    void publish(const std::string& ring, const std::string& port) const {
        write("ring-ref", ring);
        write("event-channel", port);
        write("protocol", "x86_64-abi");
        write("state", "3");
    }
    bool connect(bool asked = true) {
        return link->connect([asked](const auto&) { return asked; });
    }
    void connect_and_answer() {
        REQUIRE(connect());
        tapdisk().answer(device);
        REQUIRE(link->state() == FrontendLink::State::up);
    }
    Situation situation() const {
        Situation now;
        link->put_into(now, false);
        return now;
    }

    testing::Xenstored xenstored{};
    testing::TemporaryDirectory files_directory{};
    ManualClock clock{};
    EventLoop loop{clock};
    StoreSession store_session{loop, {.found = [](bool) {}, .lost = [] {}, .all_seen = [] { return true; }}};
    FakeTapdisks tapdisks{};
    ImageFiles files{loop, {{"/"}, {}}, []() -> ipc::MessageSocket { throw_error(Errc::wrong_state, "storage"); }};
    const ipc::Json device = ipc::DeviceDescription{.size_sectors = 8};
    const std::error_code no_space = std::make_error_code(std::errc::no_space_on_device);
    bool full = false;
    std::optional<ipc::ConnectArguments> recorded{};
    std::string problem{};
    std::function<void()> io_is_over{};
    int later = 0;
    bool domain_died = false;
    std::optional<BackendDirectory> directory{};
    std::optional<DiskSession> session{};
    std::optional<FrontendLink> link{};
};

}  // namespace

TEST_CASE("frontend link: rings are connected as the keys name them, and recorded before", "[unit][tapback]") {
    LinkHost t;
    CHECK_FALSE(t.connect(false));
    CHECK(t.tapdisk().asked().empty());
    CHECK(t.connect());
    CHECK(t.link->state() == FrontendLink::State::busy);
    CHECK(t.tapdisk().asked() == "connect ");
    CHECK(t.recorded->queues == std::vector<ipc::QueueArguments>{{{8}, 3}});
    CHECK(t.recorded->domain == 5);
    CHECK(std::filesystem::exists(t.recovery_log()));
    CHECK_FALSE(t.situation().published);
    t.tapdisk().answer(ipc::DeviceDescription{.size_sectors = 16});
    CHECK(t.link->state() == FrontendLink::State::up);
    CHECK(t.session->description()->size_sectors == 16);
    t.link->published();
    CHECK(t.situation().published);
    // What cannot be asked may have lost them.
    Situation now;
    t.link->put_into(now, true);
    CHECK(now.link == FrontendLink::State::busy);
}

TEST_CASE("frontend link: rings that cannot be recorded are connected when they can, and their frontend waits",
          "[unit][tapback]") {
    LinkHost t;
    t.full = true;
    for (int looks = 1; looks < 3; ++looks) {
        CHECK(t.connect());
        CHECK(t.link->state() == FrontendLink::State::none);
        CHECK_FALSE(t.link->rings());
        CHECK(t.tapdisk().asked().empty());
        CHECK_THAT(t.problem, Contains("the frontend waits") && Contains("No space left on device"));
        CHECK(t.later == looks);
        CHECK(t.situation().unrecorded);
        CHECK_FALSE(t.situation().refused);
        t.link->tidy();
        CHECK_FALSE(t.situation().unrecorded);
    }
    t.full = false;
    CHECK(t.connect());
    t.tapdisk().fail(t.no_space, "recovery log: 9000 bytes");
    CHECK((t.situation().unrecorded && !t.situation().refused && !t.link->rings()));
    t.connect_and_answer();
    CHECK(t.recorded == t.link->rings());
    CHECK(t.problem.empty());
}

TEST_CASE("frontend link: a frontend that cannot be served is refused until it begins again", "[unit][tapback]") {
    LinkHost t;
    if (GENERATE(false, true)) {
        t.write("ring-ref", "many");
        CHECK(t.connect());
        CHECK_THAT(t.problem, Contains("ring-ref"));
    } else {
        CHECK(t.connect());
        t.tapdisk().fail(make_error_code(Errc::grant_denied), "no such grant");
        CHECK_THAT(t.problem, Contains("no such grant"));
    }
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK_FALSE(t.link->rings());
    CHECK(t.situation().refused);
    t.link->see(Xenbus::closing);
    CHECK(t.situation().refused);
    t.link->see(Xenbus::initialising);
    CHECK_FALSE(t.situation().refused);
}

TEST_CASE("frontend link: what another operation is in the way of is tried again, and nobody's fault",
          "[unit][tapback]") {
    LinkHost t;
    CHECK(t.connect());
    t.tapdisk().fail(make_error_code(Errc::wrong_state), "pausing");
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK_FALSE(t.situation().refused);
    CHECK(t.later == 0);
    CHECK(t.tapdisk().asked() == "stats ");
    const bool paused = GENERATE(false, true);
    t.tapdisk().answer({{"state", paused ? "paused" : "open"}});
    CHECK(t.session->is_paused() == paused);
    CHECK(t.later == 1);
}

TEST_CASE("frontend link: new rings are known by their keys, whoever connected the old ones", "[unit][tapback]") {
    LinkHost t;
    t.connect_and_answer();
    if (GENERATE(false, true)) {
        const auto rings = t.recorded;
        t.link->restore(rings);
        CHECK(t.link->state() == FrontendLink::State::busy);
        t.link->found(true);
    }
    const auto renewed = [&](Xenbus frontend) {
        t.link->look_for_new_rings(frontend);
        return t.situation().renewed;
    };
    CHECK_FALSE(renewed(Xenbus::connected));
    t.write_backend("discard-enable", "0");
    CHECK_FALSE(renewed(Xenbus::connected));
    t.publish("9", "3");
    CHECK(renewed(Xenbus::connected));
    CHECK(renewed(Xenbus::initialised));
    CHECK_FALSE(renewed(Xenbus::closing));
    t.write("ring-ref", "many");
    CHECK_FALSE(renewed(Xenbus::connected));
    t.publish("8", "4");
    CHECK(renewed(Xenbus::connected));
    t.link->disconnect(ipc::RingsLeft::untouched);
    t.tapdisk().answer();
    CHECK_FALSE(t.situation().renewed);
    CHECK_FALSE(t.recorded);
    CHECK_FALSE(renewed(Xenbus::connected));
}

TEST_CASE("frontend link: rings are gone when the tapdisk says so, of whatever version it is", "[unit][tapback]") {
    LinkHost t;
    t.connect_and_answer();
    t.link->disconnect(ipc::RingsLeft::failed);
    CHECK(t.tapdisk().arguments().at("rings") == "failed");
    SECTION("it has let go of them") {
        t.tapdisk().answer();
    }
    SECTION("it knows no such way, and then another") {
        t.tapdisk().fail(make_error_code(Errc::bad_message), "rings");
        CHECK(t.link->state() == FrontendLink::State::busy);
        CHECK(t.tapdisk().asked() == "disconnect ");
        t.tapdisk().answer();
    }
    SECTION("something is in the way") {
        t.tapdisk().fail(make_error_code(Errc::wrong_state), "pausing");
        CHECK(t.tapdisk().asked() == "stats ");
        const bool connected = GENERATE(false, true);
        t.tapdisk().answer({{"state", "open"}, {"connected", connected}});
        CHECK(t.later == (connected ? 1 : 0));
        CHECK(t.link->state() == (connected ? FrontendLink::State::up : FrontendLink::State::none));
        if (connected) {
            t.link->disconnect(ipc::RingsLeft::failed);
            t.tapdisk().answer();
        }
    }
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK_FALSE(t.link->rings());
}

TEST_CASE("frontend link: what a tapdisk that died has left is answered by another one", "[unit][tapback]") {
    LinkHost t;
    t.connect_and_answer();
    t.tapdisk().end("killed by signal 9");
    CHECK(t.situation().abandoned);
    CHECK_FALSE(t.link->ended_idle());
    CHECK(t.link->has_recovery_log());
    t.link->abandon();
    CHECK(t.tapdisk().pid() == 100);  // its last I/O is waited for
    CHECK(t.link->state() == FrontendLink::State::busy);
    t.io_is_over();
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK(t.situation().abandoned);
    t.link->abandon();
    CHECK(t.tapdisk().pid() == 101);
    CHECK(t.tapdisk().asked() == "abandon ");
    CHECK(t.tapdisk().arguments().at("queues").size() == 1);
    CHECK(t.link->state() == FrontendLink::State::busy);
    t.link->tidy();
    t.tapdisk().answer();
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("exited with status 0");
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK_FALSE(t.situation().abandoned);
    t.link->tidy();
    t.link->remove_recovery_log();
    CHECK_FALSE(t.link->has_recovery_log());
}

TEST_CASE("frontend link: a successor adopts the rings as they were recorded, whatever the keys say by then",
          "[unit][tapback]") {
    LinkHost t;
    t.connect_and_answer();
    t.write_backend("state", "4");
    t.write("state", "4");
    t.link->published();
    const auto rings = t.link->rings();
    t.link->tapdisk_ended(DiskSession::End::revives, false);
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK_FALSE(t.situation().abandoned);
    std::string told;
    const auto done = [&](const ipc::Reply& reply) { told = reply.error_code.empty() ? "done" : reply.error_message; };
    SECTION("the guest waits") {
        t.write("protocol", "nonsense");
        CHECK(t.link->adopt(done));
        CHECK(t.tapdisk().asked() == "adopt ");
        CHECK(t.tapdisk().arguments().get<ipc::ConnectArguments>() == rings);
        t.tapdisk().answer(t.device);
        CHECK(told == "done");
        CHECK(t.link->state() == FrontendLink::State::up);
        CHECK_FALSE(t.situation().published);  // a new size is told
    }
    SECTION("it has made new ones") {
        t.publish("9", "4");
        t.write("state", "4");
        CHECK_FALSE(t.link->adopt(done));
        CHECK_FALSE(t.link->rings());
        CHECK(t.link->state() == FrontendLink::State::none);
    }
    SECTION("it begins again") {
        t.write("state", "1");
        CHECK_FALSE(t.link->adopt(done));
        CHECK_FALSE(t.link->rings());
    }
    SECTION("it was never told that it is connected") {
        t.write_backend("state", "2");
        CHECK_FALSE(t.link->adopt(done));
        CHECK_FALSE(t.link->rings());
    }
    SECTION("it has closed by itself") {
        t.write("state", "6");
        const bool is_asked_to = GENERATE(false, true);
        t.write_backend("online", is_asked_to ? "0" : "1");
        CHECK(t.link->adopt(done) == is_asked_to);
        CHECK(t.link->rings().has_value() == is_asked_to);
    }
    SECTION("a toolstack has removed the disk's directory") {
        t.store_session.require().remove(linked_disk.backend_path());
        CHECK(t.link->adopt(done));
        CHECK(t.tapdisk().asked() == "adopt ");
    }
    SECTION("the log is gone") {
        t.link->remove_recovery_log();
        CHECK(t.link->adopt(done));
        CHECK_THAT(told, Catch::Contains(t.recovery_log()));
        CHECK(t.link->state() == FrontendLink::State::none);
        CHECK(t.link->rings() == rings);
    }
}

TEST_CASE("frontend link: rings are adopted without an operator only if their log keeps all that counts",
          "[unit][tapback]") {
    LinkHost t;
    CHECK(t.link->can_be_adopted());  // there are none
    t.link->found(true);
    CHECK(t.link->has_unknown_rings());  // an earlier version recorded none
    CHECK_FALSE(t.link->can_be_adopted());
    t.link->found(false);
    t.connect_and_answer();
    CHECK(t.link->can_be_adopted());  // it was never laid out
    std::ofstream(t.recovery_log(), std::ios::binary) << "BKTAPLOG" << std::string("\1\0\0\0", 4);
    CHECK_FALSE(t.link->can_be_adopted());
    std::ofstream(t.recovery_log(), std::ios::binary) << "BKTAPLOG" << std::string("\2\0\0\0", 4);
    CHECK(t.link->can_be_adopted());
}

TEST_CASE("frontend link: nothing is left for a frontend that begins anew, or whose domain is gone",
          "[unit][tapback]") {
    LinkHost t;
    t.connect_and_answer();
    t.domain_died = GENERATE(false, true);
    t.tapdisk().end("killed by signal 9");
    CHECK(t.situation().abandoned != t.domain_died);
    t.link->see(Xenbus::closing);
    CHECK(t.situation().abandoned != t.domain_died);
    t.link->see(Xenbus::initialising);
    CHECK_FALSE(t.situation().abandoned);
}

TEST_CASE("frontend link: of rings that may be another disk's by now none is answered", "[unit][tapback]") {
    LinkHost t;
    std::ofstream(t.recovery_log()).flush();
    t.link->tapdisk_ended(DiskSession::End::was_away, false);
    CHECK(t.situation().abandoned);
    t.store_session.require().remove(linked_disk.backend_path());
    t.write_backend("frontend", t.frontend);
    t.link->abandon();
    t.io_is_over();
    t.link->abandon();
    CHECK(t.tapdisk().pid() == 100);  // no other was started
    CHECK(t.link->state() == FrontendLink::State::none);
    CHECK_FALSE(t.situation().abandoned);
}

TEST_CASE("frontend link: a frontend of another domain is not looked at", "[unit][tapback][XSA-175][XSA-178]") {
    LinkHost t;
    CHECK(t.link->read_state(t.store_session.require()) == Xenbus::initialised);
    t.store_session.require().write("/local/domain/6/device/vbd/51712/state", "3");
    CHECK_FALSE(t.link->follow("/local/domain/6/device/vbd/51712"));
    CHECK(t.link->read_state(t.store_session.require()) == Xenbus::unknown);
}
