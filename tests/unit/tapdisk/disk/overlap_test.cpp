// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Requests whose ranges overlap: which of them wait, as seen by the driver, and the contents of the image afterwards.

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Status;

TEST_CASE("ranges: a discard waits for what it overlaps, and what overlaps it waits for it", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    machine.put(machine.write(1, 0, data));
    machine.put(VbdHarness::discard(2, {4, 8}));
    machine.put(machine.read(3, 8, data));
    machine.put(machine.write(4, 11, data));
    machine.put(machine.write(5, 12, data));  // not the discard, but one that waits for it
    machine.put(machine.write(6, 20, data));
    machine.publish();
    machine.settle();
    CHECK(disk.waiting() == "WW");  // 1 and 6
    disk.complete(disk.find_at(0));
    machine.settle();
    CHECK(disk.waiting() == "DW");
    disk.complete(disk.find('D'));
    machine.settle();
    CHECK(disk.waiting() == "RWWW");
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("ranges: a discard of less than a granule is answered at once, whatever is under way there",
          "[unit][tapdisk]") {
    StubDisk disk;
    disk.info.discard_granularity_bytes = 4096;
    VbdHarness machine{disk.options()};
    machine.put(machine.write(1, 0, machine.pages(1)));
    machine.put(VbdHarness::discard(2, {1, 7}));
    machine.put(VbdHarness::discard(3, {7, 8}));
    machine.put(VbdHarness::discard(4, {0, 8}));
    machine.publish();
    machine.settle();
    CHECK(machine.answer(2) == Status::okay);
    CHECK(machine.answer(3) == Status::okay);
    CHECK(disk.waiting() == "W");
    disk.complete(0);
    machine.settle();
    CHECK(disk.waiting() == "D");
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("ranges: what the end of one request lets go on is begun in several turns", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness::Options options = disk.options();
    options.frontend.ring_order = 4;
    VbdHarness machine{options};
    machine.put(VbdHarness::discard(1, {0, 4096}));
    constexpr std::uint64_t others = 500;
    for (std::uint64_t id = 2; id < 2 + others; ++id)
        machine.put(VbdHarness::discard(id, {id * 8, 8}));
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "D");
    const auto turns = [&] { return machine.counter("/turns/count"); };
    const std::uint64_t before = turns();
    disk.complete(0);
    machine.settle();
    CHECK(disk.count() == others);
    CHECK(turns() - before >= others / Scheduler::turn_budget);
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("ranges: overlapping reads and writes of whole blocks do not wait for each other", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    for (std::uint64_t id = 1; id <= 8; ++id) {
        machine.put(id % 2 == 0 ? machine.read(id, id, data) : machine.write(id, id, data));
    }
    machine.publish();
    machine.settle();
    CHECK(disk.count() == 8);
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("ranges: a write of a part of a block has the block for itself", "[unit][tapdisk]") {
    StubDisk disk;
    disk.info.write_alignment_bytes = 4096;
    VbdHarness machine{disk.options()};
    const GuestBuffer sector = machine.buffer({{0, 0}});
    const GuestBuffer page = machine.pages(1);
    machine.put(machine.write(1, 8, sector));
    machine.put(machine.write(2, 15, sector));  // another sector of the same block
    machine.put(machine.write(3, 16, sector));  // the next block
    machine.put(machine.write(4, 8, page));     // the whole block
    machine.put(machine.read(5, 12, sector));   // a sector beside both
    machine.put(machine.write(6, 0, page));     // the block before
    machine.publish();
    machine.settle();
    CHECK(disk.waiting() == "WWW");
    (void)disk.find_at(0);
    (void)disk.find_at(16);
    disk.complete(disk.find_at(8));
    machine.settle();
    CHECK(disk.waiting() == "WWW");
    disk.complete(disk.find_at(15));
    machine.settle();
    CHECK(disk.waiting() == "RWWW");
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("ranges: discards and overlapping writes keep their order through the workers", "[unit][tapdisk]") {
    VbdHarness machine;
    GuestBuffer data = machine.pages(4);
    std::uint64_t id = 0;
    for (std::uint64_t round = 1; round <= 50; ++round) {
        data.fill(0, round);
        machine.put(machine.write(++id, 0, data));
        machine.put(VbdHarness::discard(++id, {0, 32}));
        const bool again = round % 2 == 0;
        if (again) machine.put(machine.write(++id, 0, data));
        machine.publish();
        machine.run_until([&] { return machine.unanswered() == 0; });
        const auto expected = again ? data.get() : std::vector<std::byte>(32 * 512);
        REQUIRE(machine.image_bytes({0, 32}) == expected);
    }
}
