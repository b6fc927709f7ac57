// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/waiting_requests.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;

namespace {

struct WaitingHost {
    void add(const std::string& disk, const std::string& request) {
        waiting.add(
            disk, [this, request] { said += request + " goes on, "; },
            [this, request] { said += request + " fails, "; });
    }
    std::string after(Nanoseconds time) {
        clock.advance(time);
        loop.run_once(0ns);
        return std::exchange(said, "");
    }

    ManualClock clock{};
    EventLoop loop{clock};
    WaitingRequests waiting{loop};
    std::string said{};
};

}  // namespace

TEST_CASE("waiting requests: those of a disk go on when it has ended, in their order, and once", "[unit][tapback]") {
    WaitingHost t;
    t.add("5/51712", "one");
    t.add("5/51728", "other");
    t.add("5/51712", "two");
    t.waiting.release("5/51712");
    CHECK(t.after(0ns) == "one goes on, two goes on, ");
    t.waiting.release("5/51712");
    CHECK(t.after(0ns).empty());
    CHECK(t.after(WaitingRequests::patience) == "other fails, ");
    CHECK(t.after(WaitingRequests::patience).empty());
}

TEST_CASE("waiting requests: each fails when it has waited for its own time", "[unit][tapback]") {
    WaitingHost t;
    t.add("5/51712", "one");
    CHECK(t.after(20s).empty());
    t.add("5/51712", "two");
    CHECK(t.after(WaitingRequests::patience - 20s) == "one fails, ");
    CHECK(t.after(19s).empty());
    CHECK(t.after(1s) == "two fails, ");
}

TEST_CASE("waiting requests: one that has to wait again does, for the next end of that disk", "[unit][tapback]") {
    WaitingHost t;
    t.waiting.add(
        "5/51712", [&t] { t.add("5/51712", "again"); }, [] {});
    t.waiting.release("5/51712");
    CHECK(t.after(0ns).empty());
    t.waiting.release("5/51712");
    CHECK(t.after(0ns) == "again goes on, ");
}
