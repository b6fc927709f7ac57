// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Taps with the real tapdisk, and a clock that the test turns.
#include "control/tapback/taps.hpp"

#include <csignal>
#include <filesystem>

#include "control/tapback/session/tapdisk_process.hpp"
#include "control/tapback/storage/process_starter.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;

namespace {

struct Fixture {
    Fixture() {
        options.run_directory = directory.path("");
        clock.advance(1h);
    }
    /// Lets things happen until `condition` holds; false: it did not within seconds.
    template <class Condition>
    bool run_until(Condition condition) {
        for (int i = 0; i < 1000 && !condition(); ++i)
            loop.run_once(20ms);
        return condition();
    }
    bool has_files() const { return !std::filesystem::is_empty(directory.path("")); }

    testing::TemporaryDirectory directory{BLKTAP_BIN_DIR};
    Options options{};
    ManualClock clock{};
    EventLoop loop{clock};
    storage::ProcessStarter starter{loop, {.directories = {{"/"}, {}}, .program = BLKTAP_BIN_DIR "/tapback"}};
    ImageFiles files{loop, {{"/"}, {}}, [this] { return starter.start(); }};
    TapdiskSearch search{loop, [this] { return starter.start(); }};
    TapdiskProcesses tapdisks{loop, search, {BLKTAP_BIN_DIR "/tapdisk"}};
    ProblemHook problem_hook{loop, ""};
    StoreSession session{loop, {}};
    Host host{.loop = loop,
              .options = options,
              .tapdisks = tapdisks,
              .files = files,
              .problem_hook = problem_hook,
              .session = session,
              .mark = [](const auto&) {},
              .mark_later = [](const auto&) {},
              .mark_status = [](const auto&) {}};
    std::optional<Taps> taps{std::in_place, host};
};

}  // namespace

TEST_CASE("taps: a tapdisk that is no disk's ends a minute after its last request", "[unit]") {
    Fixture t;
    const auto pid = t.taps->spawn().pid;
    CHECK(t.taps->allocate().minor == 0);
    t.clock.advance(40s);
    t.taps->attach({pid, 0});
    t.clock.advance(59s);
    t.loop.run_once(0ns);
    CHECK(t.taps->list({}).taps == std::vector<ipc::TapEntry>{{pid, 0, std::nullopt}});
    t.clock.advance(1s);
    t.loop.run_once(0ns);
    CHECK(t.taps->list({}).taps.empty());
    CHECK(t.run_until([&] { return !t.has_files(); }));
    CHECK_FALSE(testing::send_signal(static_cast<pid_t>(pid), 0));
}

TEST_CASE("taps: a number that no tapdisk took is free after a minute", "[unit]") {
    Fixture t;
    CHECK(t.taps->allocate().minor == 0);
    t.clock.advance(30s);
    CHECK(t.taps->allocate().minor == 1);
    t.clock.advance(30s);
    t.loop.run_once(0ns);
    CHECK(t.taps->list({}).taps == std::vector<ipc::TapEntry>{{std::nullopt, 1, std::nullopt}});
    CHECK(t.taps->allocate().minor == 0);
    t.clock.advance(1min);
    t.loop.run_once(0ns);
    CHECK_FALSE(t.has_files());
}

TEST_CASE("taps: one with an image goes on under another tapback, and has a minute there too", "[unit]") {
    Fixture t;
    const auto pid = t.taps->spawn().pid;
    t.taps->attach({pid, 3});
    std::optional<ipc::Reply> opened;
    const std::string image = t.directory.make_file("image", 1 << 20);
    t.taps->open({{pid, 3}, {"raw", image, false, {}}}, [&](const ipc::Reply& reply) {
        opened.emplace();
        opened->error_message = reply.error_message;
    });
    REQUIRE(t.run_until([&] { return opened.has_value(); }));
    CHECK(opened->error_message.empty());
    t.taps.reset();
    t.taps.emplace(t.host);
    t.taps->restore({});
    CHECK(t.taps->list({}).taps.at(0).pid == pid);
    t.clock.advance(59s);
    t.loop.run_once(0ns);
    CHECK(t.taps->list({}).taps.size() == 1);
    t.clock.advance(1s);
    t.loop.run_once(0ns);
    CHECK(t.taps->list({}).taps.empty());
    CHECK(t.run_until([&] { return !std::filesystem::exists(t.directory.path("taps.state")); }));
}
