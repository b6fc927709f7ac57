// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <ctime>
#include <optional>
#include <string>

#include "libblktap/base/event_loop.hpp"
#include "tests/support/catch.hpp"

namespace blktap {
namespace {

using namespace std::chrono_literals;

struct Fixture {
    ManualClock clock;
    EventLoop loop{clock};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "timer: fires once when its time has come, not before", "[unit][base]") {
    int fired = 0;
    EventLoop::Timer timer(loop, [&] { ++fired; });
    timer.arm(10ms);
    loop.run_once(0ns);
    clock.advance(10ms - 1ns);
    loop.run_once(0ns);
    CHECK(fired == 0);
    CHECK(timer.armed());
    clock.advance(1ns);
    loop.run_once();  // due: does not sleep
    CHECK(fired == 1);
    CHECK_FALSE(timer.armed());
    clock.advance(1h);
    loop.run_once(0ns);
    CHECK(fired == 1);
}

TEST_CASE_METHOD(Fixture, "timer: arming again replaces, disarming forgets", "[unit][base]") {
    int fired = 0;
    EventLoop::Timer timer(loop, [&] { ++fired; });
    timer.arm(1ms);
    timer.arm(5ms);
    clock.advance(2ms);
    loop.run_once(0ns);
    CHECK(fired == 0);
    timer.disarm();
    clock.advance(5ms);
    loop.run_once(0ns);
    CHECK(fired == 0);
}

TEST_CASE_METHOD(Fixture, "timer: armed again by its handler, it waits for the next round", "[unit][base]") {
    int fired = 0;
    std::optional<EventLoop::Timer> timer;
    timer.emplace(loop, [&] {
        ++fired;
        timer->arm(0ns);
    });
    timer->arm(0ns);
    loop.run_once();
    CHECK(fired == 1);
    loop.run_once();
    CHECK(fired == 2);
}

TEST_CASE_METHOD(Fixture, "timer: a handler may destroy its own timer and one that is due with it", "[unit][base]") {
    std::optional<EventLoop::Timer> timers[2];
    int fired = 0;
    const std::string capture(100, 'x');
    std::string result;
    for (auto& timer : timers) {
        timer.emplace(loop, [&timers, &fired, &result, capture] {
            ++fired;
            for (auto& each : timers)
                each.reset();
            result = capture;
        });
        timer->arm(1ms);
    }
    clock.advance(1ms);
    loop.run_once();
    CHECK(fired == 1);
    CHECK(result == capture);
}

TEST_CASE_METHOD(Fixture, "timer: one made by a handler works from the next round on", "[unit][base]") {
    std::optional<EventLoop::Timer> made;
    int fired = 0;
    EventLoop::Timer timer(loop, [&] {
        made.emplace(loop, [&] { ++fired; });
        made->arm(0ns);
    });
    timer.arm(0ns);
    loop.run_once();
    CHECK(fired == 0);
    loop.run_once();
    CHECK(fired == 1);
}

TEST_CASE_METHOD(Fixture, "timer: extreme delays neither overflow nor fire early", "[unit][base]") {
    int fired = 0;
    clock.advance(1h);
    EventLoop::Timer never(loop, [&] { fired += 100; });
    never.arm(Nanoseconds::max());
    EventLoop::Timer past(loop, [&] { ++fired; });
    past.arm(-5s);
    loop.run_once();
    CHECK(fired == 1);
}

TEST_CASE("timer: by the real clock the loop sleeps until it is due, and it is never too early", "[unit][base]") {
    const MonotonicClock clock;
    EventLoop loop(clock);
    const Nanoseconds delay = 3ms + 1ns;
    Nanoseconds fired_at{0};
    int rounds = 0;
    EventLoop::Timer timer(loop, [&] { fired_at = clock.now(); });
    loop.set_turn([&] {
        ++rounds;
        return EventLoop::Next::sleep;
    });
    loop.run_once();  // the one after set_turn(), which does not sleep
    rounds = 0;
    const Nanoseconds armed_at = clock.now();
    timer.arm(delay);
    while (timer.armed())
        loop.run_once();
    CHECK(fired_at - armed_at >= delay);
    // By the kernel's tick, the time may still be short of the deadline when the loop wakes; then it sleeps for what is
    // missing, at least a millisecond each time.
    timespec tick{};
    REQUIRE(::clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0);
    CHECK(rounds <= 2 + tick.tv_nsec / 1'000'000);
}

}  // namespace blktap
