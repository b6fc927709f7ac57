// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/abandoned_rings.hpp"

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Status;

namespace {

VbdHarness::Options two_queues(StubDisk& disk) {
    VbdHarness::Options options = disk.options();
    options.frontend.queue_count = 2;
    return options;
}

/// A tapdisk that ended with requests unanswered: a write of each queue that waited for space. Others that came after
/// them were answered, in their places in the ring.
struct Left {
    StubDisk disk{};
    VbdHarness machine{two_queues(disk)};
    const GuestBuffer data = machine.pages(1);
    std::unique_ptr<AbandonedRings> rings{};
    bool done = false;

    Left() {
        for (const unsigned queue : {0u, 1u}) {
            machine.send(machine.write(1 + queue, 64 * queue, data), queue);
            machine.settle();
            disk.complete(0, ENOSPC);
            machine.settle();
        }
        disk.automatic = true;
        for (const std::uint64_t id : {3u, 4u, 5u})
            REQUIRE(machine.run(machine.read(id, 512, data)) == Status::okay);
        REQUIRE_FALSE(machine.shut_down());
        REQUIRE(machine.logged_ids() == std::vector<std::uint64_t>{1, 2});
        machine.forget_answers();
    }
    void abandon() {
        rings = std::make_unique<AbandonedRings>(machine.loop(), machine.vbd().xen_handles(),
                                                 machine.frontend().connect_arguments(), machine.log_file(),
                                                 [this] { done = true; });
    }
    void pass(Nanoseconds time) {
        for (Nanoseconds passed{0}; passed < time; passed += AbandonedRings::quiet / 4) {
            machine.clock().advance(AbandonedRings::quiet / 4);
            machine.settle();
        }
    }
};

}  // namespace

TEST_CASE("abandoned rings: what was taken, what was sent and what comes is answered once, with an error",
          "[unit][tapdisk]") {
    Left t;
    t.machine.send(t.machine.read(10, 0, t.data), 0);
    t.machine.send(VbdHarness::flush(11), 1);
    t.abandon();
    t.machine.settle();
    t.machine.send(t.machine.write(12, 0, t.data), 0);
    t.pass(AbandonedRings::quiet / 2);
    CHECK_FALSE(t.done);
    for (const std::uint64_t id : {1u, 2u, 10u, 11u, 12u}) {
        INFO(id);
        CHECK(t.machine.answer(id) == Status::error);
    }
    CHECK(t.rings->answered() == 5);
    t.pass(2 * AbandonedRings::quiet);
    CHECK(t.done);
    t.rings.reset();
    CHECK(t.machine.world().pages_mapped_by(0) == 0);
}

TEST_CASE("abandoned rings: what was visible when the tapdisk died is not answered again", "[unit][tapdisk]") {
    Left t;
    // It died when the last answer was in the ring, and before it had forgotten the request.
    const Mapping log = Mapping::shared_file(t.machine.log_file().get(), 64 + 1088 + 32 * sizeof(log_layout::Slot));
    auto& queue = *reinterpret_cast<log_layout::QueueHeader*>(log.data() + sizeof(log_layout::Header));
    auto* slots = reinterpret_cast<log_layout::Slot*>(log.data() + 64 + sizeof(log_layout::QueueHeader));
    std::uint16_t last = 0;
    for (std::uint16_t slot = 0; slot < 32; ++slot)
        if (slots[slot].request.id == 5) last = slot;
    REQUIRE(slots[last].request.id == 5);
    slots[last].state = 1;
    queue.old_producer = 2;
    queue.new_producer = 3;
    queue.published_count = 1;
    queue.published[0] = last;
    queue.publishing = 1;
    t.abandon();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    CHECK_FALSE(t.machine.answered(5));
    CHECK(t.rings->answered() == 2);
}

TEST_CASE("abandoned rings: a log that is not of these rings answers nothing", "[unit][tapdisk]") {
    Left t;
    SECTION("of another number of queues") {
        t.machine.make_frontend({.queue_count = 3});
    }
    SECTION("of other requests") {
        t.machine.make_frontend({.queue_count = 2});
    }
    SECTION("of nobody") {
        REQUIRE(::ftruncate(t.machine.log_file().get(), 0) == 0);
    }
    CHECK_THROWS_AS(t.abandon(), std::system_error);
    t.machine.settle();
    CHECK_FALSE(t.machine.answered(1));
    CHECK(t.machine.world().pages_mapped_by(0) == 0);
}

TEST_CASE("abandoned rings: a frontend that never stops is let go of all the same", "[unit][tapdisk]") {
    Left t;
    t.abandon();
    std::uint64_t id = 10;
    for (Nanoseconds passed{0}; !t.done; passed += AbandonedRings::quiet / 2) {
        REQUIRE(passed <= AbandonedRings::at_most);
        t.machine.send(t.machine.read(++id, 0, t.data), 0);
        t.pass(AbandonedRings::quiet / 2);
    }
    CHECK(id > 20);
}
