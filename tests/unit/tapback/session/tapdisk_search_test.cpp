// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/tapdisk_search.hpp"

#include <sys/socket.h>

#include "control/tapback/storage/storage_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

/// With a storage process that is played by hand.
struct Fixture {
    ipc::MessageSocket start() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        process.emplace(ipc::MessageSocket{UniqueFd{ends[0]}});
        ++started;
        return ipc::MessageSocket{UniqueFd{ends[1]}};
    }
    /// What it is asked; it answers with this process.
    storage::FindTapdisk answer(pid_t pid) {
        const auto request = process->next_request();
        REQUIRE(request.has_value());
        process->reply(request->id, storage::FindTapdisk::Result{static_cast<std::uint32_t>(pid)});
        turn();
        return request->arguments.get<storage::FindTapdisk>();
    }
    void turn() { loop.run_once(std::chrono::milliseconds(0)); }
    bool is_looking() {
        return testing::thrown([&] { search.find("/run/x.sock"); }).code() == std::errc::resource_unavailable_try_again;
    }

    MonotonicClock clock{};
    EventLoop loop{clock};
    std::optional<ipc::Channel> process{};
    int started = 0;
    TapdiskSearch search{loop, [this] { return start(); }};
};

}  // namespace

TEST_CASE("tapdisk search: who asks again is told what was found, and asked for again it is looked for again",
          "[unit][tapback]") {
    Fixture t;
    for (const pid_t pid : {4711, 0, 4712}) {
        CHECK(t.is_looking());
        CHECK(t.is_looking());
        CHECK(t.answer(pid) == storage::FindTapdisk{"/run/x.sock", 0});
        CHECK(t.search.find("/run/x.sock") == (pid == 0 ? std::nullopt : std::optional(pid)));
    }
}

TEST_CASE("tapdisk search: whether one process is it becomes known later", "[unit][tapback]") {
    Fixture t;
    std::vector<bool> told;
    t.search.ask(4711, "/run/x.sock", [&](bool yes) { told.push_back(yes); });
    t.search.ask(4712, "/run/x.sock", [&](bool yes) { told.push_back(yes); });
    CHECK(told.empty());
    CHECK(t.answer(4711) == storage::FindTapdisk{"/run/x.sock", 4711});
    t.answer(0);
    CHECK(told == std::vector<bool>{true, false});
    CHECK(t.started == 1);
}

TEST_CASE("tapdisk search: a process that is lost is replaced, and ends when there is nothing to look for",
          "[unit][tapback]") {
    Fixture t;
    CHECK(t.is_looking());
    t.process.reset();
    t.turn();
    CHECK(t.is_looking());
    CHECK(t.started == 2);
    t.answer(0);
    bool ended = false;
    for (int i = 0; i < 100 && !ended; ++i) {
        t.loop.run_once(std::chrono::milliseconds(10));
        try {
            t.process->next_request();
        } catch (const std::system_error& error) {
            ended = error.code() == Errc::peer_closed;
        }
    }
    CHECK(ended);
}
