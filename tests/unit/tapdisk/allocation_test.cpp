// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Nothing is allocated on the path of a request. The guest's side of these tests makes all that it needs beforehand.

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/counted_new.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;

namespace {

/// Sends all of `requests` and takes answers until none is missing; true when all were okay. The loop waits for workers
/// and for the kernel.
bool serve(VbdHarness& machine, const std::vector<ring::RawRequest>& requests) {
    replay::Frontend& frontend = machine.frontend();
    for (const ring::RawRequest& request : requests)
        frontend.ring(0).put_request(request);
    frontend.publish(0);
    bool okay = true;
    for (std::size_t missing = requests.size(); missing > 0;) {
        machine.loop().run_once();
        frontend.acknowledge();
        for (auto answer = frontend.take(0); answer.value(); answer = frontend.take(0)) {
            okay = okay && answer.value()->status == ring::Status::okay;
            --missing;
        }
        (void)frontend.rearm();
    }
    return okay;
}

std::vector<ring::RawRequest> every_sort(VbdHarness& machine) {
    GuestBuffer small = machine.buffer({{3, 5}, {}, {0, 0}});
    GuestBuffer large = machine.pages(100);
    return {machine.read(1, 0, small),         machine.write(2, 64, small),     machine.read(3, 128, large),
            machine.write(4, 1024, large),     machine.barrier(5, 4096, small), VbdHarness::flush(6),
            VbdHarness::discard(7, {8192, 64})};
}

}  // namespace

TEST_CASE("allocation: requests of every sort allocate nothing, after the first of each", "[unit][tapdisk]") {
    LinuxAioKernel kernel;
    VbdHarness::Options options;
    options.kernel = &kernel;
    options.frontend.persistent = GENERATE(false, true);
    VbdHarness machine{options};
    const auto requests = every_sort(machine);
    REQUIRE(serve(machine, requests));  // threads start, persistent grants are mapped

    allocations = 0;
    counting = true;
    bool okay = true;
    for (int round = 0; round < 20; ++round)
        okay = serve(machine, requests) && okay;
    counting = false;
    CHECK(okay);
    CHECK(allocations == 0);
}

TEST_CASE("allocation: refused, parked, held and postponed requests allocate nothing", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    GuestBuffer bad = data;
    bad.segments[0].gref = 0x7fffffff;
    const std::vector<ring::RawRequest> refused{machine.read(1, 1 << 30, data), machine.write(2, 0, bad),
                                                machine.read(3, 0, bad)};
    const std::vector<ring::RawRequest> stuck{machine.write(4, 0, data), VbdHarness::flush(5),
                                              VbdHarness::discard(6, {0, 8}), machine.write(7, 4, data)};
    disk.automatic = true;
    disk.answer = {EIO, std::system_category()};
    machine.send(VbdHarness::flush(100));  // held: what follows changes no state that is logged
    machine.settle();
    disk.answer = {};
    REQUIRE_FALSE(machine.pause());
    machine.resume();
    disk.answer = {ENOSPC, std::system_category()};
    machine.send(machine.write(101, 512, data));
    machine.settle();
    REQUIRE(machine.counter("/parked") == 1);

    disk.answer = {};
    allocations = 0;
    counting = true;
    const bool okay = serve(machine, refused);
    counting = false;
    CHECK_FALSE(okay);
    disk.answer = {ENOSPC, std::system_category()};
    for (const ring::RawRequest& request : stuck)
        machine.put(request);
    counting = true;
    machine.publish();
    for (int round = 0; round < 4; ++round) {
        machine.loop().run_once(Nanoseconds{0});
        machine.vbd().retry();
    }
    counting = false;
    CHECK(allocations == 0);
    CHECK(machine.counter("/held-flushes") == 2);
    CHECK(machine.counter("/in-flight") == 6);
}
