// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Storage that keeps answering "not now": waiting requests are counted at once, the operator is told after some
// seconds, retries cost hardly any processor time, and requests are served as soon as the storage serves.
#include "tapdisk/disk/retry_delays.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/vbd_harness.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Status;

namespace {

/// A disk whose storage refuses everything, and two requests.
struct RefusingDisk {
    RefusingDisk() {
        refuse(true);
        machine.send(machine.read(1, 0, machine.pages(1)));
        machine.send(machine.write(2, 64, machine.pages(2)));
        machine.settle();
    }
    /// Nothing may be under way at the machine's end.
    ~RefusingDisk() {
        refuse(false);
        machine.vbd().retry();
    }
    void refuse(bool always) {
        SimAioKernel::Chances chances;
        chances.result_transient = always ? 1000 : 0;
        machine.kernel().set_chances(chances);
    }
    void pass(Nanoseconds time) {
        for (const Nanoseconds end = machine.clock().now() + time; machine.clock().now() < end;) {
            machine.clock().advance(100ms);
            machine.settle();
        }
    }
    std::size_t problems() { return machine.vbd().problems().problems.size(); }

    VbdHarness machine{};
};

}  // namespace

TEST_CASE("refused I/O: is counted as waiting from the beginning, and a problem after some seconds",
          "[unit][tapdisk]") {
    RefusingDisk t;
    CHECK(t.machine.counter("/waiting/storage-busy") == 2);
    t.pass(4s);
    CHECK(t.problems() == 0);
    t.pass(2s);
    REQUIRE(t.problems() == 1);
    CHECK(t.machine.vbd().problems().problems[0].name == "storage-busy");
    CHECK(t.machine.counter("/waiting/storage-busy") == 2);
    CHECK_FALSE(t.machine.answered(1));
    CHECK_FALSE(t.machine.answered(2));
}

TEST_CASE("refused I/O: is tried about once a second, not all the time", "[unit][tapdisk]") {
    RefusingDisk t;
    t.pass(10s);
    const std::uint64_t before = t.machine.kernel().submit_calls();
    t.pass(60s);
    const std::uint64_t tries = t.machine.kernel().submit_calls() - before;
    CHECK(tries >= 30);
    CHECK(tries <= 70);
}

TEST_CASE("refused I/O: goes on when the storage serves, and the problem is over", "[unit][tapdisk]") {
    RefusingDisk t;
    t.pass(20s);
    REQUIRE(t.problems() == 1);
    t.refuse(false);
    SECTION("by itself") {
        t.pass(1s + 200ms);
    }
    SECTION("at once when the operator asks") {
        t.machine.vbd().retry();
        t.machine.settle();
    }
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.answer(2) == Status::okay);
    CHECK(t.machine.counter("/waiting/storage-busy") == 0);
    t.pass(problem_quiet + 1s);
    CHECK(t.problems() == 0);
}

TEST_CASE("refused I/O: a kernel that takes nothing is a problem too", "[unit][tapdisk]") {
    VbdHarness machine;
    SimAioKernel::Chances chances;
    chances.submit_refused = 1000;
    machine.kernel().set_chances(chances);
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.settle();
    for (int tenths = 0; tenths < 60; ++tenths) {
        machine.clock().advance(100ms);
        machine.settle();
    }
    CHECK(machine.counter("/waiting/storage-busy") == 1);
    CHECK(machine.vbd().problems().problems.size() == 1);
    machine.kernel().set_chances({});
    machine.clock().advance(1s);
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    machine.clock().advance(problem_quiet + 1s);
    machine.settle();
    CHECK(machine.vbd().problems().problems.empty());
}
