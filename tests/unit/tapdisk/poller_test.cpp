// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Poller: the window grows while a longer look would have helped, closes while looking is a waste, and rests when
// looking takes the processor from others.
#include "tapdisk/poller.hpp"

#include <catch2/catch.hpp>

using namespace blktap;
using namespace std::chrono_literals;

namespace {

/// A clock that moves by a step with each reading, so that looking takes time.
class TickingClock final : public Clock {
  public:
    Nanoseconds now() const noexcept override { return now_ += 100ns; }
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
        CHECK_FALSE(poller.look(nothing));
        clock.advance(10us);
        poller.woke();
    }
}

/// As many as open the window: 2, 4, 8, 16, 32, 50 us.
constexpr int sleeps_to_open = 6;

}  // namespace

TEST_CASE("poller: with a maximum of zero it never looks", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 0ns);
    CHECK_FALSE(poller.look([]() -> bool { throw "looked"; }));
}

TEST_CASE("poller: work soon after a sleep opens the window, up to the maximum", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open - 1);
    CHECK(poller.window() < window_max);
    sleep_shortly(poller, clock, 1);
    CHECK(poller.window() == window_max);
    CHECK(poller.look(something));
    CHECK(poller.hits() == 1);
}

TEST_CASE("poller: a maximum below the first window is kept", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 1us);
    CHECK_FALSE(poller.look(nothing));
    clock.advance(500ns);
    poller.woke();
    CHECK(poller.window() == 1us);
}

TEST_CASE("poller: long sleeps close the window", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open);
    CHECK(poller.window() > 0ns);
    for (int i = 0; i < 10; ++i) {
        (void)poller.look(nothing);
        clock.advance(10ms);
        poller.woke();
    }
    CHECK(poller.window() == 0ns);
}

TEST_CASE("poller: rests when whole windows pass and work comes right after, again and again", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open);
    SECTION("every time") {
        sleep_shortly(poller, clock, Poller::in_vain_max);
        CHECK(poller.window() == 0ns);
        const std::uint64_t misses = poller.misses();
        CHECK_FALSE(poller.look([]() -> bool { throw "looked"; }));
        CHECK(poller.misses() == misses);
        clock.advance(Poller::rest);
        sleep_shortly(poller, clock, sleeps_to_open);
        CHECK(poller.window() == window_max);
    }
    SECTION("not when a look finds something in between") {
        sleep_shortly(poller, clock, Poller::in_vain_max - 1);
        CHECK(poller.look(something));
        sleep_shortly(poller, clock, Poller::in_vain_max - 1);
        CHECK(poller.window() == window_max);
    }
}

TEST_CASE("poller: rests when another process ran in the middle of a look", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, window_max);
    sleep_shortly(poller, clock, sleeps_to_open);
    const bool found = GENERATE(false, true);
    int looks = 0;
    const auto interrupted = [&] {
        if (++looks == 40) clock.advance(Poller::processor_lost);
        return found && looks == 40;
    };
    CHECK(poller.look(interrupted) == found);
    CHECK(looks <= 48);  // no more than to the next reading of the clock
    poller.woke();
    CHECK(poller.window() == 0ns);
    CHECK_FALSE(poller.look([]() -> bool { throw "looked"; }));
    clock.advance(Poller::rest);
    sleep_shortly(poller, clock, sleeps_to_open);
    CHECK(poller.window() == window_max);
}
