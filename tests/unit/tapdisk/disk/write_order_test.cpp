// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The order of requests: which a barrier holds back and which pass it, which writes a flush covers, and which requests
// wait when ranges overlap. Seen from the driver: a request that was not started cannot overtake another.
#include "tapdisk/disk/write_order.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;
using ring::Status;

namespace {

VbdHarness::Options with_queues(StubDisk& disk, unsigned queue_count) {
    VbdHarness::Options options = disk.options();
    options.frontend.queue_count = queue_count;
    return options;
}

ring::RawRequest empty_barrier(std::uint64_t id) {
    ring::RawRequest request = VbdHarness::flush(id);
    request.operation = static_cast<std::uint8_t>(Operation::write_barrier);
    return request;
}

}  // namespace

TEST_CASE("barrier: is flush, write, flush, and answered after the last", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer data = machine.pages(2);
    data.fill(64, 1);
    machine.send(machine.barrier(1, 64, data));
    for (const char* step : {"F", "W", "F"}) {
        machine.settle();
        REQUIRE(disk.waiting() == step);
        REQUIRE_FALSE(machine.answered(1));
        disk.complete(0);
    }
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    CHECK(disk.bytes(data.at(64)) == data.get());
}

TEST_CASE("barrier: goes on by itself when each of its steps is complete in the kernel", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().hold();
    GuestBuffer data = machine.pages(GENERATE(1u, 11u));
    data.fill(64, 1);
    machine.send(machine.barrier(1, 64, data));
    machine.settle();
    for (int step = 0; step < 3; ++step) {
        REQUIRE(machine.kernel().held() == 1);
        machine.kernel().complete_next();
        machine.settle();
    }
    CHECK(machine.answer(1) == Status::okay);
    CHECK(machine.image_bytes(data.at(64)) == data.get());
}

TEST_CASE("barrier: without data is a flush", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    machine.send(empty_barrier(1));
    machine.settle();
    REQUIRE(disk.waiting() == "F");
    disk.complete(0);
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
}

TEST_CASE("barrier: waits for everything before it on all rings", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{with_queues(disk, 3)};
    const GuestBuffer data = machine.pages(1);
    machine.send(machine.write(1, 0, data), 0);
    machine.send(machine.read(2, 64, data), 1);
    machine.send(VbdHarness::flush(3), 2);
    machine.send(VbdHarness::discard(4, {128, 8}), 1);
    machine.settle();
    machine.send(machine.barrier(5, 256, data), 0);
    machine.settle();
    for (int left = 4; left > 0; --left) {
        REQUIRE(disk.count() == static_cast<std::size_t>(left));
        disk.complete(disk.count() - 1);
        machine.settle();
    }
    REQUIRE(disk.waiting() == "F");
    CHECK_FALSE(machine.answered(5));
    while (disk.count() > 0) {
        disk.complete_all();
        machine.settle();
    }
    CHECK(machine.answer(5) == Status::okay);
}

TEST_CASE("barrier: later writes wait for it on all rings, reads and flushes pass", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{with_queues(disk, 2)};
    const GuestBuffer data = machine.pages(1);
    machine.send(machine.barrier(1, 0, data), 0);
    machine.settle();
    machine.put(machine.write(2, 512, data), 0);
    machine.put(VbdHarness::discard(3, {1024, 8}), 0);
    machine.put(machine.write(4, 2048, data), 1);
    machine.put(machine.transfer(Operation::flush_diskcache, 5, 4096, data), 1);  // with data: a write
    machine.put(machine.read(6, 512, data), 1);
    machine.put(VbdHarness::flush(7), 1);
    machine.publish(0);
    machine.publish(1);
    machine.settle();
    CHECK(disk.waiting() == "FFR");  // the barrier's, and what passes
    disk.complete(2);
    disk.complete(1);
    machine.settle();
    CHECK(machine.answer(6) == Status::okay);
    CHECK(machine.answer(7) == Status::okay);
    for (int step = 0; step < 3; ++step) {
        REQUIRE(disk.count() == 1);
        disk.complete(0);
        machine.settle();
    }
    CHECK(machine.answer(1) == Status::okay);
    CHECK(disk.waiting() == "DFWW");
    while (disk.count() > 0) {
        disk.complete_all();
        machine.settle();
    }
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("barrier: a read of its own sectors passes it too, and sees its data once it is answered",
          "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer written = machine.pages(1);
    written.fill(64, 1);
    GuestBuffer early = machine.pages(1);
    GuestBuffer late = machine.pages(1);
    machine.put(machine.barrier(1, 64, written));
    machine.put(machine.read(2, 64, early));
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "FR");
    disk.complete(disk.find('R'));
    machine.settle();
    CHECK(machine.answer(2) == Status::okay);
    CHECK(early.get() == std::vector<std::byte>(page_size_bytes));  // as it was before the barrier
    while (disk.count() > 0) {
        disk.complete_all();
        machine.settle();
    }
    REQUIRE(machine.answer(1) == Status::okay);
    machine.send(machine.read(3, 64, late));
    machine.settle();
    disk.complete_all();
    machine.settle();
    CHECK(machine.answer(3) == Status::okay);
    CHECK(late.get() == written.get());
}

TEST_CASE("barrier: of several, each waits for its turn", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    for (std::uint64_t id = 1; id <= 3; ++id) {
        machine.put(machine.barrier(2 * id, 8 * id, data));
        machine.put(machine.write(2 * id + 1, 800 * id, data));
    }
    machine.publish();
    std::string steps;
    for (machine.settle(); disk.count() > 0; machine.settle()) {
        steps += disk.waiting() + ' ';
        disk.complete_all();
    }
    CHECK(steps == "F W F W F W F W F W F W ");
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("barrier: keeps its place among indirect requests, whose descriptors come later", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness::Options options = disk.options();
    options.frontend.persistent = GENERATE(false, true);
    VbdHarness machine{options};
    const GuestBuffer data = machine.pages(1);
    machine.put(machine.indirect(Operation::write, 1, 0, data));
    machine.put(machine.barrier(2, 64, data));
    machine.put(machine.indirect(Operation::write, 3, 128, data));
    machine.put(machine.barrier(4, 256, data));
    machine.put(machine.write(5, 512, data));
    machine.publish();
    std::string steps;
    for (machine.settle(); disk.count() > 0; machine.settle()) {
        steps += disk.waiting() + ' ';
        disk.complete_all();
    }
    CHECK(steps == "W F W F W F W F W ");
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("barrier: a refused request before it does not hold it", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer bad = machine.pages(1);
    bad.segments[0].gref = 0x7fffffff;
    machine.put(machine.write(1, 1 << 20, bad));                       // beyond the end
    machine.put(machine.indirect(Operation::write, 2, 1 << 20, bad));  // likewise, known later
    machine.put(machine.write(3, 0, bad));                             // no such grant, known later still
    machine.put(empty_barrier(4));
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "F");
    disk.complete(0);
    machine.settle();
    CHECK(machine.answer(4) == Status::okay);
    CHECK(machine.answer(3) == Status::error);
}

TEST_CASE("flush: is not held by writes that are not answered, and holds none", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    machine.put(machine.write(1, 0, data));
    machine.put(VbdHarness::flush(2));
    machine.put(machine.write(3, 64, data));
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "FWW");
    disk.complete(disk.find('F'));
    machine.settle();
    CHECK(machine.answer(2) == Status::okay);
    CHECK(machine.unanswered() == 2);
}

TEST_CASE("flush: with data is flush, write, flush", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer data = machine.pages(1);
    data.fill(8, 1);
    machine.send(machine.transfer(Operation::flush_diskcache, 1, 8, data));
    for (const char* step : {"F", "W", "F"}) {
        machine.settle();
        REQUIRE(disk.waiting() == step);
        disk.complete(0);
    }
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    CHECK(disk.bytes(data.at(8)) == data.get());
}
