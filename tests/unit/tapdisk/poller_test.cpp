// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Poller: the window grows while a longer look would have helped and closes while looking is a waste.
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

}  // namespace

TEST_CASE("poller: with a maximum of zero it never looks", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 0ns);
    CHECK_FALSE(poller.look([]() -> bool { throw "looked"; }));
}

TEST_CASE("poller: work soon after a sleep opens the window, up to the maximum", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 50us);
    for (int i = 0; i < 10; ++i) {
        CHECK_FALSE(poller.look(nothing));
        clock.advance(10us);
        poller.woke();
    }
    CHECK(poller.window() == 50us);
    CHECK(poller.look([] { return true; }));
    CHECK(poller.hits() == 1);
}

TEST_CASE("poller: long sleeps close the window", "[unit][tapdisk]") {
    TickingClock clock;
    Poller poller(clock, 50us);
    for (int i = 0; i < 10; ++i) {
        (void)poller.look(nothing);
        poller.woke();
    }
    CHECK(poller.window() > 0ns);
    for (int i = 0; i < 10; ++i) {
        (void)poller.look(nothing);
        clock.advance(10ms);
        poller.woke();
    }
    CHECK(poller.window() == 0ns);
}
