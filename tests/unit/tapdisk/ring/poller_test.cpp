// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Poller: the window grows while longer polling would have helped, closes while polling is a waste, and polling rests
// when it takes the processor from others.
#include "tapdisk/ring/poller.hpp"

#include <atomic>
#include <sched.h>
#include <thread>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace std::chrono_literals;

namespace {

/// A clock that moves by a step with each reading, so that looking takes time.
class TickingClock final : public Clock {
  public:
    Nanoseconds now() const noexcept override { return now_ += 100ns; }
    Nanoseconds coarse() const noexcept override { return now_; }
    void advance(Nanoseconds by) { now_ += by; }

  private:
    mutable Nanoseconds now_{1};
};

const auto nothing = [] { return false; };
const auto something = [] { return true; };

constexpr auto window_max = 50us;

/// Work comes right after each of `count` sleeps.
void sleep_shortly(Poller& poller, TickingClock& clock, int count) {
    for (int i = 0; i < count; ++i) {
        CHECK_FALSE(poller.look(Poller::For::guest, nothing));
        clock.advance(10us);
        poller.woke();
    }
}

std::uint64_t times_preempted = 0;
std::uint64_t preemptions() noexcept {
    return times_preempted;
}

/// As many as open the window: 2, 4, 8, 16, 32, 50 us.
constexpr int sleeps_to_open = 6;

}  // namespace

TEST_CASE("poller: with a maximum of zero it never looks", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 0ns);
    CHECK_FALSE(poller.look(Poller::For::guest, []() -> bool { throw "looked"; }));
}

TEST_CASE("poller: work soon after a sleep opens the window, up to the maximum", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open - 1);
    CHECK(poller.window(Poller::For::guest) < window_max);
    sleep_shortly(poller, clock, 1);
    CHECK(poller.window(Poller::For::guest) == window_max);
    CHECK(poller.look(Poller::For::guest, something));
    CHECK(poller.hits() == 1);
}

TEST_CASE("poller: a maximum below the first window is kept", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 1us);
    CHECK_FALSE(poller.look(Poller::For::guest, nothing));
    clock.advance(500ns);
    poller.woke();
    CHECK(poller.window(Poller::For::guest) == 1us);
}

TEST_CASE("poller: long sleeps close the window", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open);
    CHECK(poller.window(Poller::For::guest) > 0ns);
    for (int i = 0; i < 10; ++i) {
        (void)poller.look(Poller::For::guest, nothing);
        clock.advance(10ms);
        poller.woke();
    }
    CHECK(poller.window(Poller::For::guest) == 0ns);
}

TEST_CASE("poller: after long sleeps with a closed window fewer and fewer are measured", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    const auto measures = [&](Poller::For what) {
        const Nanoseconds before = clock.coarse();
        CHECK_FALSE(poller.look(what, nothing));
        return clock.coarse() > before;
    };
    const auto sleep_long_and_count_unmeasured = [&] {
        clock.advance(10ms);
        poller.woke();
        int unmeasured = 0;
        while (!measures(Poller::For::guest)) {
            clock.advance(10us);
            poller.woke();
            ++unmeasured;
        }
        return unmeasured;
    };
    REQUIRE(measures(Poller::For::guest));
    CHECK(sleep_long_and_count_unmeasured() == Poller::sleeps_unmeasured_first);
    CHECK(sleep_long_and_count_unmeasured() == 2 * Poller::sleeps_unmeasured_first + 1);
    for (int i = 0; i < 10; ++i)
        (void)sleep_long_and_count_unmeasured();
    CHECK(sleep_long_and_count_unmeasured() == Poller::sleeps_unmeasured_max);
    CHECK(poller.window(Poller::For::guest) == 0ns);
    SECTION("a short one opens the window, and all begins anew") {
        clock.advance(10us);
        poller.woke();
        CHECK(poller.window(Poller::For::guest) > 0ns);
        CHECK_FALSE(poller.look(Poller::For::guest, nothing));
        CHECK(sleep_long_and_count_unmeasured() == Poller::sleeps_unmeasured_first);
    }
    SECTION("each kind for itself") {
        clock.advance(10ms);
        poller.woke();
        CHECK(measures(Poller::For::disk));
    }
}

TEST_CASE("poller: the guest and the disk have a window each", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    for (int i = 0; i < sleeps_to_open; ++i) {
        CHECK_FALSE(poller.look(Poller::For::guest, nothing));
        clock.advance(10us);
        poller.woke();
        CHECK_FALSE(poller.look(Poller::For::disk, nothing));
        clock.advance(500us);
        poller.woke();
    }
    CHECK(poller.window(Poller::For::guest) == window_max);
    CHECK(poller.window(Poller::For::disk) == 0ns);
}

TEST_CASE("poller: rests when whole windows pass and work comes right after, again and again", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open);
    SECTION("every time") {
        sleep_shortly(poller, clock, Poller::in_vain_max);
        CHECK(poller.window(Poller::For::guest) == 0ns);
        const std::uint64_t misses = poller.misses();
        CHECK_FALSE(poller.look(Poller::For::guest, []() -> bool { throw "looked"; }));
        CHECK(poller.misses() == misses);
        clock.advance(Poller::rest);
        sleep_shortly(poller, clock, sleeps_to_open);
        CHECK(poller.window(Poller::For::guest) == window_max);
    }
    SECTION("not when a look finds something in between") {
        sleep_shortly(poller, clock, Poller::in_vain_max - 1);
        CHECK(poller.look(Poller::For::guest, something));
        sleep_shortly(poller, clock, Poller::in_vain_max - 1);
        CHECK(poller.window(Poller::For::guest) == window_max);
    }
}

TEST_CASE("poller: rests when the processor was wanted by another while it looked", "[unit][tapdisk]") {
    TickingClock clock;
    times_preempted = GENERATE(0u, 7u);  // before it began: nobody's business
    Poller poller(clock, window_max, preemptions);
    sleep_shortly(poller, clock, sleeps_to_open);
    const auto look_for = [&](Nanoseconds duration) {
        for (const Nanoseconds end = clock.now() + duration; clock.now() < end;) {
            if (!poller.look(Poller::For::guest, something)) return false;
            clock.advance(20us);
        }
        return true;
    };
    REQUIRE(look_for(10 * Poller::ask_interval));
    ++times_preempted;
    SECTION("in the midst of looking") {
        CHECK_FALSE(look_for(2 * Poller::ask_interval));
        CHECK(poller.window(Poller::For::guest) == 0ns);
        CHECK_FALSE(poller.look(Poller::For::guest, []() -> bool { throw "looked"; }));
        clock.advance(Poller::rest_for_others);
        sleep_shortly(poller, clock, sleeps_to_open);
        CHECK(look_for(10 * Poller::ask_interval));
    }
    SECTION("however long that took") {
        clock.advance(10 * Poller::ask_interval);
        CHECK_FALSE(look_for(2 * Poller::ask_interval));
    }
}

TEST_CASE("poller: sees that this thread lost its processor", "[unit][tapdisk]") {
    // Two threads on one processor, which never sleep: sooner or later the kernel takes it from this one.
    cpu_set_t before;
    REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    const std::uint64_t at_first = Poller::preemptions_of_this_thread();
    std::atomic<bool> over = false;
    std::thread other([&over] {
        while (!over) {
        }
    });
    const auto give_up = std::chrono::steady_clock::now() + 30s;
    while (Poller::preemptions_of_this_thread() == at_first && std::chrono::steady_clock::now() < give_up) {
    }
    CHECK(Poller::preemptions_of_this_thread() > at_first);
    over = true;
    other.join();
    ::sched_setaffinity(0, sizeof before, &before);
}
