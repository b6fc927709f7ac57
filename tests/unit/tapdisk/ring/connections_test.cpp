// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Several connections to one disk: order, parking, failed flushes and pause apply to all of them; the end of a
// connection, and its misbehaviour, affect only itself.
#include "tapdisk/ring/connections.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/machine/second_peer.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Status;

namespace {

const std::error_code out_of_space = std::make_error_code(std::errc::no_space_on_device);

/// Options of a second guest, or of a program with a local ring: no test in this file depends on which.
replay::FrontendOptions second_options() {
    return {.local = GENERATE(false, true)};
}

}  // namespace

TEST_CASE("connections: what one writes the other reads", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer second{machine, second_options()};
    GuestBuffer data = machine.pages(2);
    data.fill(64, 1);
    REQUIRE(machine.run(machine.write(1, 64, data)) == Status::okay);
    const GuestBuffer read = second.pages(2);
    second.send(machine.read(1, 64, read));
    machine.settle();
    CHECK(second.answer(1) == Status::okay);
    CHECK(read.get() == data.get());
}

TEST_CASE("connections: a barrier of one waits for the other's writes before it, and holds those after it",
          "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    SecondPeer second{machine, second_options()};
    machine.send(machine.write(1, 0, machine.pages(1)));
    machine.settle();
    second.send(machine.barrier(1, 64, second.pages(1)));
    machine.settle();
    machine.send(machine.write(2, 128, machine.pages(1)));
    machine.settle();
    REQUIRE(disk.waiting() == "W");
    disk.complete(disk.find_at(0));
    machine.settle();
    REQUIRE(machine.answered(1));
    for (const char* step : {"F", "W", "F"}) {
        REQUIRE(disk.waiting() == step);
        disk.complete(0);
        machine.settle();
    }
    CHECK(second.answer(1) == Status::okay);
    REQUIRE(disk.waiting() == "W");
    disk.complete(disk.find_at(128));
    machine.settle();
    CHECK(machine.answer(2) == Status::okay);
}

TEST_CASE("connections: a discard of one waits for the other's write to its range", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    SecondPeer second{machine, second_options()};
    machine.send(machine.write(1, 64, machine.pages(1)));
    machine.settle();
    second.send(VbdHarness::discard(1, {64, 8}));
    machine.settle();
    REQUIRE(disk.waiting() == "W");
    disk.complete(0);
    machine.settle();
    REQUIRE(disk.waiting() == "D");
    disk.complete(0);
    machine.settle();
    CHECK(second.answer(1) == Status::okay);
}

TEST_CASE("connections: after a flush of one failed both have their flushes held and their writes refused",
          "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    SecondPeer second{machine, second_options()};
    second.send(VbdHarness::flush(1));
    machine.settle();
    disk.complete(0, EIO);
    machine.settle();
    disk.automatic = true;
    machine.send(VbdHarness::flush(1));
    machine.send(machine.write(2, 0, machine.pages(1)));
    machine.send(machine.read(3, 0, machine.pages(1)));
    second.send(machine.write(2, 0, second.pages(1)));
    machine.settle();
    CHECK_FALSE(second.answer(1));
    CHECK(second.answer(2) == Status::error);
    CHECK_FALSE(machine.answered(1));
    CHECK(machine.answer(2) == Status::error);
    CHECK(machine.answer(3) == Status::okay);

    SECTION("until the loss is accepted") {
        machine.vbd().accept_loss();
        machine.settle();
        CHECK(second.answer(1) == Status::error);
        CHECK(machine.answer(1) == Status::error);
    }
    SECTION("and the end of one answers only its own") {
        CHECK_FALSE(second.disconnect());
        CHECK(second.answer(1) == Status::error);
        CHECK_FALSE(machine.answered(1));
    }
}

TEST_CASE("connections: a failed flush outlives the connection that sent it", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    SecondPeer second{machine, second_options()};
    second.send(VbdHarness::flush(1));
    machine.settle();
    disk.complete(0, EIO);
    REQUIRE_FALSE(second.disconnect());
    disk.automatic = true;
    CHECK(machine.run(machine.write(1, 0, machine.pages(1))) == Status::error);
    machine.send(VbdHarness::flush(2));
    machine.settle();
    CHECK_FALSE(machine.answered(2));
}

TEST_CASE("connections: pause and resume are for all", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer second{machine, second_options()};
    REQUIRE_FALSE(machine.pause());
    machine.send(machine.read(1, 0, machine.pages(1)));
    second.send(machine.read(1, 0, second.pages(1)));
    machine.settle();
    CHECK_FALSE(machine.answered(1));
    CHECK_FALSE(second.answer(1));
    machine.resume();
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    CHECK(second.answer(1) == Status::okay);
}

TEST_CASE("connections: the end of one neither waits for nor ends what another has parked", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    SecondPeer second{machine, second_options()};
    const auto rings = GENERATE(ipc::RingsLeft::untouched, ipc::RingsLeft::served, ipc::RingsLeft::failed);
    const bool parked_is_barrier = GENERATE(false, true);
    GuestBuffer data = machine.pages(1);
    data.fill(64, 1);
    machine.send(parked_is_barrier ? machine.barrier(1, 64, data) : machine.write(1, 64, data));
    machine.settle();
    if (parked_is_barrier) {
        disk.complete(0);
        machine.settle();
    }
    disk.complete(0, out_of_space);
    machine.settle();
    REQUIRE(machine.counter("/parked") == 1);
    second.send(machine.write(1, 64, second.pages(1)));  // goes after the parked one, or is lost
    second.send(machine.read(2, 128, second.pages(1)));
    machine.settle();
    REQUIRE_FALSE(second.answer(1));
    disk.complete(disk.find('R'));
    machine.settle();

    std::optional<std::error_code> ended;
    machine.vbd().disconnect("second", rings, [&ended](std::error_code error) { ended = error; });
    for (int i = 0; !ended && i < 100; ++i) {
        machine.settle();
        if (disk.count() > 0) disk.complete_all(out_of_space);
        machine.clock().advance(std::chrono::milliseconds(50));
    }
    REQUIRE(ended);
    CHECK(second.answer(1) == Status::error);
    CHECK(second.answer(2) == Status::okay);
    CHECK_FALSE(machine.answered(1));

    disk.automatic = true;
    disk.complete_all();
    machine.vbd().retry();
    machine.run_until([&] { return machine.answered(1); });
    CHECK(machine.answer(1) == Status::okay);
    CHECK(disk.bytes(data.at(64)) == data.get());
}

TEST_CASE("connections: one that lies about its producer stops, the other goes on", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer second{machine, second_options()};
    second.frontend().ring(0).force_request_producer(1000);
    second.frontend().notify(0);
    machine.settle();
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
    CHECK(machine.vbd().stats().at("connections").at(1).at("stopped-queues") == 1);
    CHECK(machine.vbd().stats().at("connections").at(0).at("stopped-queues") == 0);
}

TEST_CASE("connections: one name is connected once, and each is ended by its name", "[unit][tapdisk]") {
    VbdHarness machine;
    {
        SecondPeer second{machine, second_options()};
        CHECK_THROWS_AS(SecondPeer{machine}, std::system_error);
        REQUIRE_FALSE(machine.disconnect());
        second.send(machine.read(1, 0, second.pages(1)));
        machine.settle();
        CHECK(second.answer(1) == Status::okay);
        REQUIRE_FALSE(second.disconnect());
    }
    CHECK_FALSE(machine.vbd().connected());
}
