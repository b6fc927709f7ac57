// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Taps, and the disk that gets one of their tapdisks. The tapdisks answer when the test says so, or not at all.
#include "control/tapback/taps.hpp"
#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;

namespace {

struct TapsHost : StoreHost {
    static constexpr ipc::TapArguments name{100, 0};

    TapsHost() { options.run_directory = files_directory.path(""); }

    /// What the script asks for first.
    void spawn() {
        REQUIRE(taps->spawn().pid == name.pid);
        taps->attach(name);
    }
    void ask_to_open() {
        taps->open({name, {"raw", "/images/a", false, {}}}, [this](const ipc::Reply& reply) {
            told = reply.error_code.empty() ? "opened" : reply.error_message;
        });
    }
    void open() {
        spawn();
        ask_to_open();
        tapdisk().answer(device);
        REQUIRE(told == "opened");
    }
    /// Another tapback finds the tapdisk.
    void replace() {
        taps.reset();
        tapdisks.next_pid = static_cast<pid_t>(name.pid);
        taps.emplace(host);
        taps->restore({});
    }
    void say_open() {
        tapdisk().answer({{"state", "open"},
                          {"connected", false},
                          {"image", {{"format", "raw"}, {"path", "/images/a"}, {"device", device}}}});
        loop.run_once(0ns);
    }
    /// The script names it, and the disk looks.
    bool is_paired() {
        write_backend("pid", std::to_string(name.pid));
        write_backend("minor", std::to_string(name.minor));
        vbd.all_changed();
        vbd.look();
        taps->look(vbd);
        return vbd.image().tap() != nullptr;
    }
    bool is_known() const { return !taps->list({}).taps.empty(); }

    Options options{};
    std::string told{};
    Host host{.loop = loop,
              .options = options,
              .tapdisks = tapdisks,
              .files = files,
              .problem_hook = problem_hook,
              .session = store_session,
              .mark = [](const auto&) {},
              .mark_later = [](const auto&) {},
              .mark_status = [](const auto&) {}};
    std::optional<Taps> taps{std::in_place, host};
    Vbd vbd{host, address};
};

}  // namespace

TEST_CASE("taps: a disk gets the tapdisk that its directory names, when its image is open", "[unit][tapback]") {
    TapsHost t;
    t.spawn();
    t.ask_to_open();
    CHECK_FALSE(t.is_paired());
    t.tapdisk().answer(t.device);
    CHECK(t.is_paired());
    CHECK(t.tapdisk().asked() == "stats ");
    CHECK(t.is_known());  // by the disk
}

TEST_CASE("taps: an image that does not open is told with its reason, and may be opened again", "[unit][tapback]") {
    TapsHost t;
    t.spawn();
    t.ask_to_open();
    t.tapdisk().fail(std::make_error_code(std::errc::permission_denied), "/images/a: no right to it");
    CHECK(t.told == "/images/a: no right to it");
    CHECK_FALSE(t.is_paired());
    t.ask_to_open();
    t.tapdisk().answer(t.device);
    CHECK(t.is_paired());
}

TEST_CASE("taps: a tapdisk whose connection is lost while it opens is ended, and the script told", "[unit][tapback]") {
    TapsHost t;
    t.spawn();
    t.ask_to_open();
    t.tapdisk().lose();
    CHECK(t.told == "gone");
    CHECK(t.tapdisk().terminated);
    CHECK_FALSE(t.is_known());
}

TEST_CASE("taps: a tapdisk that has its image open and cannot be asked is a disk's all the same", "[unit][tapback]") {
    TapsHost t;
    t.open();
    t.tapdisk().lose();
    CHECK_FALSE(t.tapdisk().terminated);
    CHECK(t.is_known());
    CHECK(t.is_paired());
    CHECK(t.vbd.entry(true).state == "unreachable");
}

TEST_CASE("taps: no answer to another tapback says nothing of a tapdisk, which is asked again", "[unit][tapback]") {
    TapsHost t;
    t.open();
    t.replace();
    CHECK(t.tapdisk().asked() == "stats ");
    t.tapdisk().lose();
    CHECK_FALSE(t.tapdisk().terminated);
    CHECK_FALSE(t.is_paired());
    t.turn(2s);
    CHECK(t.tapdisk().asked().empty());  // it cannot be reached
    t.tapdisk().reachable = true;
    t.turn(2s);
    CHECK(t.tapdisk().asked() == "stats ");
    t.say_open();
    CHECK(t.is_paired());
}

TEST_CASE("taps: one that never answers ends with its time, as all that no disk has", "[unit][tapback]") {
    TapsHost t;
    t.open();
    t.replace();
    t.tapdisk().lose();
    for (Nanoseconds time{0}; time < TapTable::patience; time += 2s) {
        CHECK_FALSE(t.tapdisk().terminated);
        t.turn(2s);
    }
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("killed by signal 15");
    CHECK_FALSE(t.is_known());
}

TEST_CASE("taps: one that another tapback finds without its image, or that talks nonsense, is ended",
          "[unit][tapback]") {
    TapsHost t;
    SECTION("no image was asked for") {
        t.spawn();
        t.replace();
        t.tapdisk().answer({{"state", "closed"}, {"connected", false}});
    }
    SECTION("it is closed") {
        t.open();
        t.replace();
        t.tapdisk().answer({{"state", "closed"}, {"connected", false}});
    }
    SECTION("nonsense") {
        t.open();
        t.replace();
        t.tapdisk().answer({{"state", 7}});
    }
    CHECK(t.tapdisk().terminated);
    CHECK_FALSE(t.is_known());
}

TEST_CASE("taps: one that was to end, and has while there was no tapback, is forgotten", "[unit][tapback]") {
    TapsHost t;
    t.open();
    t.taps->destroy(t.name, [](const auto&) {});
    t.tapdisks.runs = false;
    t.replace();
    CHECK_FALSE(t.is_known());
    t.turn(1min);
    CHECK_FALSE(t.is_known());
}
