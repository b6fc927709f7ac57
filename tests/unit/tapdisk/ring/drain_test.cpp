// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A disconnect that drains the rings first: a frontend that is told to close waits for all its requests, and so does
// the removal of its device.

#include <sys/poll.h>

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ipc::RingsLeft;
using ring::Status;

namespace {

struct Draining {
    StubDisk disk{};
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    bool done = false;

    void disconnect(RingsLeft rings) {
        machine.vbd().disconnect("", rings, [this](std::error_code) { done = true; });
    }
    void pass(Nanoseconds time) {
        constexpr Nanoseconds step = RingDrain::quiet / 4;
        for (Nanoseconds passed{0}; passed < time; passed += step) {
            machine.clock().advance(step);
            machine.settle();
        }
    }
    bool notified() {
        pollfd wait{machine.frontend().event_fd(), POLLIN, 0};
        return ::poll(&wait, 1, 0) == 1;
    }
};

}  // namespace

TEST_CASE("drain: what a frontend still sends is served until it has been quiet for a while", "[unit][tapdisk]") {
    Draining t;
    t.disk.automatic = true;
    t.machine.send(t.machine.read(1, 0, t.data));
    t.disconnect(RingsLeft::served);
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    t.pass(RingDrain::quiet / 2);
    t.machine.send(t.machine.write(2, 0, t.data));
    t.pass(RingDrain::quiet / 2);
    CHECK(t.machine.answer(2) == Status::okay);
    CHECK_FALSE(t.done);
    t.machine.send(t.machine.write(3, 0, t.data));
    t.pass(RingDrain::quiet * 3 / 4);
    CHECK_FALSE(t.done);
    t.pass(RingDrain::quiet);
    CHECK(t.done);
    CHECK(t.machine.answer(3) == Status::okay);
    CHECK(t.machine.world().pages_mapped_by(0) == 0);
}

TEST_CASE("drain: a frontend that asked for no notification gets some, and goes on with what it kept back",
          "[unit][tapdisk]") {
    Draining t;
    const RingsLeft rings = GENERATE(RingsLeft::served, RingsLeft::failed);
    REQUIRE_FALSE(t.notified());
    t.disconnect(rings);
    CHECK(t.notified());
    t.machine.frontend().acknowledge();
    t.machine.clock().advance(RingDrain::quiet / 2);
    t.machine.loop().run_once(Nanoseconds(0));
    CHECK(t.notified());  // it may have been told to close meanwhile
    t.pass(RingDrain::quiet);
    CHECK(t.done);
}

TEST_CASE("drain: by force what waits and what comes is an error, and what the disk has ends as the disk says",
          "[unit][tapdisk]") {
    Draining t;
    t.machine.put(t.machine.write(1, 0, t.data));
    t.machine.put(t.machine.barrier(2, 64, t.data));
    t.machine.put(t.machine.write(3, 128, t.data));
    t.machine.publish();
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "W");
    t.disconnect(RingsLeft::failed);
    t.machine.send(t.machine.read(4, 0, t.data));
    t.machine.send(VbdHarness::flush(5));
    t.machine.settle();
    CHECK(t.disk.waiting() == "W");
    for (const std::uint64_t id : {2u, 3u, 4u, 5u})
        CHECK(t.machine.answer(id) == Status::error);
    CHECK_FALSE(t.machine.answered(1));
    t.pass(2 * RingDrain::at_most);
    CHECK_FALSE(t.done);  // its memory is the disk's until the disk is done with it
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.done);
}

TEST_CASE("drain: by force a request that waits behind another one's range is an error when that ends",
          "[unit][tapdisk]") {
    Draining t;
    t.machine.put(VbdHarness::discard(1, {0, 8}));
    t.machine.put(t.machine.write(2, 0, t.data));
    t.machine.publish();
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "D");
    t.disconnect(RingsLeft::failed);
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.answer(2) == Status::error);
    CHECK(t.disk.waiting().empty());
    t.pass(RingDrain::quiet);
    t.pass(RingDrain::quiet);
    CHECK(t.done);
}

TEST_CASE("drain: requests that are parked or held are answered at once", "[unit][tapdisk]") {
    Draining t;
    const RingsLeft rings = GENERATE(RingsLeft::served, RingsLeft::failed);
    t.machine.send(t.machine.write(1, 0, t.data));
    t.machine.settle();
    t.disk.complete(0, ENOSPC);
    t.machine.settle();
    REQUIRE(t.machine.counter("/parked") == 1);
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    t.disk.complete(0, EIO);
    t.machine.settle();
    REQUIRE(t.machine.counter("/held-flushes") == 1);
    t.disconnect(rings);
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    CHECK(t.machine.answer(2) == Status::error);
    t.pass(2 * RingDrain::quiet);
    CHECK(t.done);
}

TEST_CASE("drain: while the image is paused every request is an error", "[unit][tapdisk]") {
    Draining t;
    t.disk.automatic = true;
    REQUIRE_FALSE(t.machine.pause());
    t.machine.send(t.machine.read(1, 0, t.data));
    t.machine.settle();
    REQUIRE_FALSE(t.machine.answered(1));
    t.disconnect(RingsLeft::served);
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    t.pass(RingDrain::quiet);
    t.pass(RingDrain::quiet);
    CHECK(t.done);
}

TEST_CASE("drain: a frontend that never stops is let go of all the same", "[unit][tapdisk]") {
    Draining t;
    t.disk.automatic = true;
    const RingsLeft rings = GENERATE(RingsLeft::served, RingsLeft::failed);
    t.disconnect(rings);
    std::uint64_t id = 0;
    for (Nanoseconds passed{0}; !t.done; passed += RingDrain::quiet / 2) {
        REQUIRE(passed <= RingDrain::at_most);
        t.machine.send(t.machine.read(++id, 0, t.data));
        t.pass(RingDrain::quiet / 2);
    }
    CHECK(id > 10);
}
