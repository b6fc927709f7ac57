// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// An idle disk: it gives its memory back and then sleeps without a timer.
#include <csignal>
#include <fstream>
#include <string>
#include <sys/time.h>

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Status;

namespace {

/// Anonymous memory of this process that the kernel has given.
std::uint64_t anonymous_bytes() {
    std::ifstream file{"/proc/self/status"};
    for (std::string word; file >> word;) {
        if (word != "RssAnon:") continue;
        std::uint64_t kilobytes = 0;
        file >> kilobytes;
        return kilobytes * 1024;
    }
    return 0;
}

constexpr std::uint64_t pool_bytes = PagePool::page_count * page_size_bytes;

/// Touches every page of the pool; the requests wait in the driver afterwards.
void use_the_whole_pool(VbdHarness& machine) {
    const GuestBuffer data = machine.pages(ring::segments_indirect_max);
    for (std::uint64_t id = 1; id <= 16; ++id)
        machine.put(machine.write(id, 0, data));
    machine.publish();
    machine.settle();
}

bool alarmed = false;

/// True when the loop sleeps until a signal ends its wait: with a timer armed whose time has come it would not.
bool loop_sleeps(VbdHarness& machine) {
    alarmed = false;
    struct sigaction action {};
    action.sa_handler = [](int) { alarmed = true; };  // without SA_RESTART: epoll_wait() ends
    struct sigaction before {};
    ::sigaction(SIGALRM, &action, &before);
    itimerval soon{};
    soon.it_value.tv_usec = 20'000;
    ::setitimer(ITIMER_REAL, &soon, nullptr);
    machine.loop().run_once();
    const bool slept = alarmed;
    itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before, nullptr);
    return slept;
}

}  // namespace

TEST_CASE("idle: two seconds after the last request the memory is given back, and no timer is left",
          "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    use_the_whole_pool(machine);
    disk.complete_all();
    machine.settle();
    REQUIRE(machine.unanswered() == 0);
    const std::uint64_t used = anonymous_bytes();
    machine.clock().advance(1999ms);
    machine.settle();
    CHECK(anonymous_bytes() + pool_bytes / 2 > used);
    machine.clock().advance(1ms);
    machine.settle();
    CHECK(anonymous_bytes() + pool_bytes * 9 / 10 < used);
    machine.clock().advance(1h);
    machine.settle();
    CHECK(loop_sleeps(machine));
    disk.automatic = true;
    CHECK(machine.run(machine.read(100, 0, machine.pages(100))) == Status::okay);
}

TEST_CASE("idle: memory of requests that take longer than two seconds is given back after them", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    use_the_whole_pool(machine);
    for (int second = 0; second < 10; ++second) {
        machine.clock().advance(1s);
        machine.settle();
    }
    const std::uint64_t used = anonymous_bytes();
    disk.complete_all();
    machine.settle();
    REQUIRE(machine.unanswered() == 0);
    for (int second = 0; second < 10; ++second) {
        machine.clock().advance(1s);
        machine.settle();
    }
    CHECK(anonymous_bytes() + pool_bytes * 9 / 10 < used);
}

TEST_CASE("idle: a disk that was never used has no timer", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.settle();
    machine.clock().advance(1h);
    CHECK(loop_sleeps(machine));
}

TEST_CASE("idle: a paused disk with a full ring sleeps", "[unit][tapdisk]") {
    VbdHarness machine;
    REQUIRE_FALSE(machine.pause());
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.settle();
    machine.clock().advance(1h);
    machine.settle();
    CHECK(loop_sleeps(machine));
}
