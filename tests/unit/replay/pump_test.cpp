// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/load/pump.hpp"

#include <array>
#include <unistd.h>

#include "tests/replay/extent.hpp"
#include "tests/replay/failure.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;
using Catch::Contains;

namespace {

/// Reads page after page, and counts.
class Reads final : public Traffic {
  public:
    explicit Reads(unsigned count) : left(count) {}
    Next next(Slot& slot, Nanoseconds) override {
        if (left == 0) return Next::finished;
        --left;
        ++in_flight;
        most_in_flight = std::max(most_in_flight, in_flight);
        slot.work = data_work(ring::Operation::read, 0, shape, false);
        return Next::request;
    }
    void completed(Slot&, ring::Status status) override {
        --in_flight;
        okay += status == ring::Status::okay ? 1 : 0;
    }
    void stop() noexcept override { left = 0; }

    unsigned left;
    unsigned in_flight = 0;
    unsigned most_in_flight = 0;
    unsigned okay = 0;
    std::vector<SegmentShape> shape = segments_for(8);
};

PumpOptions options(unsigned depth) {
    PumpOptions options;
    options.depth = depth;
    options.timeout = std::chrono::milliseconds(100);
    return options;
}

}  // namespace

TEST_CASE("pump: keeps as many requests in flight as it has slots, on every queue", "[unit][replay]") {
    Machine machine;
    FrontendOptions frontend = Machine::frontend();
    frontend.queue_count = 2;
    Session session(machine.backend, frontend);
    Pump pump(session, machine.clock, {4, 1});
    Reads reads(1000);
    Statistics statistics;
    CHECK(pump.run(reads, statistics));
    CHECK(reads.okay == 1000);
    CHECK(reads.most_in_flight == 8);
    CHECK(statistics.reads == 1000);
    CHECK(statistics.bytes == 1000 * 4096);
    CHECK(statistics.latency.count() == 1000);
    CHECK(statistics.elapsed > Nanoseconds(0));
}

TEST_CASE("pump: can look instead of sleeping", "[unit][replay]") {
    Machine machine;
    Session session(machine.backend, Machine::frontend());
    PumpOptions spinning = options(1);
    spinning.spin = true;
    spinning.timeout = std::chrono::seconds(10);
    Pump pump(session, machine.clock, spinning);
    Reads reads(100);
    Statistics statistics;
    CHECK(pump.run(reads, statistics));
    CHECK(reads.okay == 100);
}

TEST_CASE("pump: a depth that no ring has is refused, and names the ring's", "[unit][replay]") {
    Machine machine;
    Session session(machine.backend, Machine::frontend());
    CHECK_THROWS_WITH(Pump(session, machine.clock, {33, 1}), Contains("32"));
    CHECK_THROWS(Pump(session, machine.clock, {0, 1}));
}

TEST_CASE("pump: wrong answers are failures", "[unit][replay]") {
    Machine machine;
    std::string expected;
    SECTION("an id that nobody asked under") {
        machine.backend.change_answer = [](ring::Response& response) { response.id += 1u << 16; };
        expected = "not in flight";
    }
    SECTION("an id outside all slots") {
        machine.backend.change_answer = [](ring::Response& response) { response.id = 0xffff; };
        expected = "not in flight";
    }
    SECTION("another operation") {
        machine.backend.change_answer = [](ring::Response& response) { response.operation = 6; };
        expected = "was answered as operation 6";
    }
    SECTION("more answers than requests") {
        machine.backend.answer_too_often = true;
        expected = "more answers than requests";
    }
    SECTION("no answer") {
        machine.backend.answer_nothing = true;
        expected = "no answer for";
    }
    Session session(machine.backend, Machine::frontend());
    Pump pump(session, machine.clock, options(1));
    Reads reads(1);
    Statistics statistics;
    try {
        pump.run(reads, statistics);
        FAIL("no failure");
    } catch (const Failure& failure) {
        CHECK_THAT(failure.what(), Contains(expected));
    }
}

TEST_CASE("pump: a backend that goes away is noticed while waiting", "[unit][replay]") {
    Machine machine;
    machine.backend.answer_nothing = true;
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    machine.backend.hangup_fd = pipe[0];
    Session session(machine.backend, Machine::frontend());
    Pump pump(session, machine.clock, {1, 1});
    ::close(pipe[1]);
    Reads reads(1);
    Statistics statistics;
    CHECK_THROWS_AS(pump.run(reads, statistics), BackendGone);
    ::close(pipe[0]);
}

TEST_CASE("pump: an interruption stops the traffic and drains it", "[unit][replay]") {
    Machine machine;
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    Session session(machine.backend, Machine::frontend(), pipe[0]);
    Pump pump(session, machine.clock, {4, 1});
    REQUIRE(::write(pipe[1], "!", 1) == 1);
    Reads reads(std::numeric_limits<unsigned>::max());
    Statistics statistics;
    CHECK(!pump.run(reads, statistics));
    CHECK(reads.in_flight == 0);
    CHECK(statistics.reads == reads.okay);
    ::close(pipe[0]);
    ::close(pipe[1]);
}
