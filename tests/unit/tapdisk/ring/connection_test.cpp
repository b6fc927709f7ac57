// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connecting and leaving: each step that can fail is made to fail, guests vanish in the middle, and each time no page
// or port of theirs stays mapped or bound.
#include "tapdisk/ring/connection.hpp"

#include <fcntl.h>

#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using fakexen::Call;
using ring::Operation;
using ring::Status;

namespace {

VbdHarness::Options large_frontend(bool connect) {
    VbdHarness::Options options;
    options.frontend.queue_count = 3;
    options.frontend.ring_order = 1;
    options.frontend.persistent = true;
    options.connect = connect;
    return options;
}

bool nothing_held(VbdHarness& machine) {
    return machine.world().pages_mapped_by(0) == 0 && machine.world().ports_of(0) == 0;
}

}  // namespace

TEST_CASE("connect: every call to Xen that fails is told with its object, leaves nothing, and can be repeated",
          "[unit][tapdisk]") {
    struct Step {
        Call call;
        std::uint64_t count;
        const char* names;
    };
    const auto step =
        GENERATE(Step{Call::open_gnttab, 1, "xengnttab_open"}, Step{Call::open_evtchn, 1, "xenevtchn_open"},
                 Step{Call::map, 3, "domain 5, queue "}, Step{Call::bind, 3, "domain 5"});
    VbdHarness machine{large_frontend(false)};
    const auto& queues = machine.frontend().connect_arguments().queues;
    std::uint64_t n = 1;
    for (;; ++n) {
        fakexen::fail_nth(step.call, n);
        if (n > step.count) break;
        const std::system_error error = thrown([&] { machine.connect(); });
        CAPTURE(n, error.what());
        CHECK_THAT(error.what(), Catch::Contains(step.names));
        if (step.call == Call::map) {
            CHECK_THAT(error.what(), Catch::Contains("queue " + std::to_string(n - 1)) &&
                                         Catch::Contains(std::to_string(queues[n - 1].ring_refs[1])));
        }
        if (step.call == Call::bind) {
            CHECK_THAT(error.what(), Catch::Contains(std::to_string(queues[n - 1].event_channel)));
        }
        CHECK(nothing_held(machine));
        CHECK_FALSE(machine.vbd().connected());
    }
    machine.connect();
    CHECK(fakexen::failure_is_due(step.call));  // there is no other call of this kind
    fakexen::fail_nothing();
    CHECK(machine.run(machine.read(1, 0, machine.pages(1)), 2) == Status::okay);
}

TEST_CASE("connect: a log file that cannot be used is told, and leaves nothing", "[unit][tapdisk]") {
    VbdHarness machine{large_frontend(false)};
    const auto connect = [&](UniqueFd log) {
        machine.vbd().connect(machine.frontend().connect_arguments(), std::move(log));
    };
    const char* path = GENERATE("/dev/null", "/dev/full");
    const std::system_error error = thrown([&] { connect(UniqueFd{::open(path, O_RDWR | O_CLOEXEC)}); });
    CHECK_THAT(error.what(), Catch::Contains("recovery log"));
    CHECK(nothing_held(machine));
    connect({});  // without one tapdisk makes its own
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
}

TEST_CASE("connect: pages and ports of the wrong domain are refused", "[unit][tapdisk]") {
    VbdHarness machine{large_frontend(false)};
    auto arguments = machine.frontend().connect_arguments();
    SECTION("domain") {
        arguments.domain = 6;
    }
    SECTION("page") {
        arguments.queues[2].ring_refs[1] = 0x7fffffff;
    }
    SECTION("port") {
        arguments.queues[2].event_channel = 12345;
    }
    (void)thrown([&] { machine.vbd().connect(arguments, {}); });
    CHECK(nothing_held(machine));
    machine.connect();
}

TEST_CASE("disconnect: after traffic of every sort nothing of the guest's is held", "[unit][tapdisk]") {
    VbdHarness::Options options = large_frontend(true);
    options.frontend.persistent = GENERATE(false, true);
    VbdHarness machine{options};
    const GuestBuffer small = machine.pages(3);
    const GuestBuffer large = machine.pages(100);
    std::uint64_t id = 0;
    for (unsigned queue = 0; queue < 3; ++queue) {
        machine.put(machine.write(++id, 0, small), queue);
        machine.put(machine.read(++id, 0, large), queue);
        machine.put(VbdHarness::flush(++id), queue);
        machine.put(machine.read(++id, 1 << 30, small), queue);
        machine.publish(queue);
    }
    machine.settle();
    CHECK(machine.unanswered() == 0);
    CHECK(machine.world().ports_of(0) == 3);
    REQUIRE_FALSE(machine.disconnect());
    CHECK(nothing_held(machine));
}

TEST_CASE("disconnect: what was taken is answered first, what is in the ring is left there", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().hold();
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.settle();
    bool done = false;
    machine.vbd().disconnect("", ipc::RingsLeft::untouched, [&done](std::error_code) { done = true; });
    machine.send(machine.read(2, 0, machine.pages(1)));
    machine.settle();
    CHECK_FALSE(done);
    machine.kernel().complete_all();
    machine.settle();
    CHECK(done);
    CHECK(machine.answer(1) == Status::okay);
    CHECK_FALSE(machine.answered(2));
}

TEST_CASE("disconnect: a frontend that comes back is served from the start", "[unit][tapdisk]") {
    VbdHarness machine;
    for (int round = 0; round < 5; ++round) {
        const GuestBuffer data = machine.pages(1);
        for (std::uint64_t id = 0; id < 40; ++id)
            REQUIRE(machine.run(machine.read(id, 0, data)) == Status::okay);
        REQUIRE_FALSE(machine.disconnect());
        machine.make_frontend({.queue_count = 1u + static_cast<unsigned>(round), .persistent = round % 2 == 0});
        machine.connect();
    }
}

TEST_CASE("connect: requests that were published before are served at once", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.connect = false;
    VbdHarness machine{options};
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.connect();
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
}

TEST_CASE("vanished guest: with requests in the kernel tapdisk lives, and lets go of everything", "[unit][tapdisk]") {
    VbdHarness::Options options = large_frontend(true);
    options.frontend.persistent = GENERATE(false, true);
    VbdHarness machine{options};
    machine.kernel().hold();
    for (unsigned queue = 0; queue < 3; ++queue) {
        machine.put(machine.write(10 + queue, 0, machine.pages(2)), queue);
        machine.put(machine.read(20 + queue, 64, machine.pages(40)), queue);
        machine.put(VbdHarness::flush(30 + queue), queue);
        machine.publish(queue);
    }
    machine.settle();
    machine.guest_vanishes();
    machine.settle();
    machine.kernel().complete_at_submit();
    machine.kernel().complete_all_shuffled();
    machine.settle();
    CHECK(machine.counter("/in-flight") == 0);
    REQUIRE_FALSE(machine.disconnect());
    CHECK(nothing_held(machine));
    machine.make_frontend({});
    machine.connect();
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
}

TEST_CASE("vanished guest: requests that it published and that were not yet taken are errors", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.frontend.persistent = GENERATE(false, true);
    VbdHarness machine{options};
    machine.send(machine.write(1, 0, machine.pages(2)));
    machine.put(machine.read(2, 64, machine.pages(40)));
    machine.publish();
    machine.guest_vanishes();
    machine.settle();
    CHECK(machine.counter("/in-flight") == 0);
    CHECK(machine.counter("/taken") == 2);
    CHECK(machine.image_bytes({0, 16}) == std::vector<std::byte>(8192));
}

TEST_CASE("vanished guest: requests that wait for space, for a range or for a barrier do not hold a disconnect",
          "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    machine.put(VbdHarness::discard(1, {0, 8}));
    machine.put(machine.write(2, 0, data));
    machine.put(machine.barrier(3, 64, data));
    machine.put(machine.write(4, 128, data));
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "D");
    disk.complete(0, ENOSPC);
    machine.settle();
    machine.guest_vanishes();
    disk.automatic = true;
    REQUIRE_FALSE(machine.disconnect());
    CHECK(nothing_held(machine));
}
