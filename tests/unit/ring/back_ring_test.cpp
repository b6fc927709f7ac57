// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The back ring on one thread: traffic, wake-ups, and a frontend that misbehaves.
#include "libblktap/ring/back_ring.hpp"

#include <cstring>
#include <deque>

#include "libblktap/ring/front_ring.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/ring/random_request.hpp"
#include "tests/unit/ring/ring_memory.hpp"

using namespace blktap;
using namespace blktap::ring;
using test::all_protocols;
using test::RingMemory;

namespace {

struct Pair {
    explicit Pair(Protocol protocol = Protocol::native, std::size_t page_count = 1)
        : memory(page_count), front(memory.pages(), protocol), back(memory.pages(), protocol) {}

    /// Puts and publishes `count` reads, numbered from the last one on.
    bool ask(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            RawRequest request{};
            request.id = next_id++;
            request.segment_count = 1;
            front.put_request(request);
        }
        return front.publish();
    }
    void consume(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i)
            consumed.push_back(back.consume().id);
    }
    void answer(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            back.put_response({consumed.front(), 0, Status::okay});
            consumed.pop_front();
        }
    }
    void take(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i)
            REQUIRE(front.take_response().value().has_value());
    }

    RingMemory memory;
    FrontRing front;
    BackRing back;
    std::uint64_t next_id = 0;
    std::deque<std::uint64_t> consumed;
};

}  // namespace

TEST_CASE("back ring: requests come out as they were put in, and responses go back, around the ring many times",
          "[unit][ring][property]") {
    test::SeededRandom random;
    INFO("seed " << random.seed());
    for (const Protocol protocol : all_protocols) {
        for (const auto page_count : std::initializer_list<std::size_t>{1, 3, 16}) {
            Pair pair(protocol, page_count);
            std::deque<RawRequest> asked;
            std::deque<RawRequest> taken;
            std::deque<Response> expected;
            for (int step = 0; step < 4000; ++step) {
                if (!pair.front.full() && random.one_in(2)) {
                    asked.push_back(test::random_request(random, 1000));
                    pair.front.put_request(asked.back());
                }
                if (random.one_in(4)) static_cast<void>(pair.front.publish());
                if (pair.back.pending_requests().value() > 0 && random.one_in(2)) {
                    taken.push_back(pair.back.consume());
                    REQUIRE(std::memcmp(&taken.back(), &asked.front(), sizeof(RawRequest)) == 0);
                    asked.pop_front();
                }
                if (!taken.empty() && random.one_in(2)) {
                    // Out of order: any request that is not answered yet.
                    const auto chosen = taken.begin() + random.between<std::uint8_t>(0, 255) % std::ssize(taken);
                    expected.push_back({chosen->id, chosen->response_operation(), Status::error});
                    pair.back.put_response(expected.back());
                    taken.erase(chosen);
                }
                if (random.one_in(4)) static_cast<void>(pair.back.publish());
                if (const auto response = pair.front.take_response().value()) {
                    REQUIRE(response->id == expected.front().id);
                    REQUIRE(response->operation == expected.front().operation);
                    REQUIRE(response->status == Status::error);
                    expected.pop_front();
                }
            }
        }
    }
}

TEST_CASE("back ring: takes a full ring at once", "[unit][ring]") {
    Pair pair;
    static_cast<void>(pair.ask(32));
    CHECK(pair.front.full());
    CHECK(pair.back.pending_requests().value() == 32);
    pair.consume(32);
    CHECK(pair.back.pending_requests().value() == 0);
}

TEST_CASE("back ring: requests are not seen before they are published", "[unit][ring]") {
    Pair pair;
    pair.front.put_request(RawRequest{});
    CHECK(pair.back.pending_requests().value() == 0);
    CHECK_FALSE(pair.back.request_waiting());
    static_cast<void>(pair.front.publish());
    CHECK(pair.back.pending_requests().value() == 1);
    CHECK(pair.back.request_waiting());
}

TEST_CASE("back ring: responses are not seen before they are published", "[unit][ring]") {
    Pair pair;
    static_cast<void>(pair.ask(1));
    pair.consume(1);
    pair.answer(1);
    CHECK(pair.back.has_unpublished());
    CHECK_FALSE(pair.front.take_response().value().has_value());
    static_cast<void>(pair.back.publish());
    CHECK_FALSE(pair.back.has_unpublished());
    CHECK(pair.front.take_response().value().has_value());
}

TEST_CASE("back ring: a frontend that asked for the next response is woken once for a batch", "[unit][ring]") {
    Pair pair;
    static_cast<void>(pair.ask(8));
    pair.consume(8);
    pair.answer(4);
    CHECK(pair.back.publish());
    pair.answer(4);
    CHECK_FALSE(pair.back.publish());  // it has not asked again
    CHECK_FALSE(pair.back.publish());  // nothing new
    CHECK(pair.front.rearm());         // eight wait for it
    pair.take(8);
    CHECK_FALSE(pair.front.rearm());
}

TEST_CASE("back ring: a frontend is woken only when the response that it named is there", "[unit][ring]") {
    Pair pair;
    static_cast<void>(pair.ask(8));
    pair.consume(8);
    pair.memory.set_index(response_event_offset, 3);
    pair.answer(2);
    CHECK_FALSE(pair.back.publish());
    pair.answer(1);
    CHECK(pair.back.publish());
}

TEST_CASE("back ring: a frontend that has its response and did not ask again is not woken", "[unit][ring]") {
    Pair pair;
    static_cast<void>(pair.ask(3));
    pair.consume(3);
    pair.answer(1);
    CHECK(pair.back.publish());
    pair.answer(1);
    CHECK_FALSE(pair.back.publish());  // it still names the first response
    pair.answer(1);
    CHECK_FALSE(pair.back.publish());
}

TEST_CASE("back ring: re-arming asks for the next request, and says when it is there already", "[unit][ring]") {
    Pair pair;
    CHECK(pair.ask(1));  // a new ring asks for its first request
    CHECK_FALSE(pair.ask(1));
    CHECK(pair.back.rearm());
    pair.consume(2);
    CHECK_FALSE(pair.back.rearm());
    CHECK(pair.memory.index(request_event_offset) == 3);
    CHECK(pair.ask(1));
}

TEST_CASE("back ring: wake-ups and traffic go on where the indices wrap around 2^32", "[unit][ring]") {
    RingMemory memory;
    const std::uint32_t start = 0u - 40;
    FrontRing front(memory.pages(), Protocol::native);
    for (std::size_t offset = 0; offset < 16; offset += 4)
        memory.set_index(offset, start);
    BackRing back(memory.pages(), Protocol::native);
    CHECK(back.consumed() == start);
    for (std::uint32_t i = 1; i <= 80; ++i) {
        CHECK_FALSE(back.rearm());
        CHECK(memory.index(request_event_offset) == start + i);
        front.force_request_producer(start + i);
        CHECK(back.pending_requests().value() == 1);
        static_cast<void>(back.consume());
        memory.set_index(response_event_offset, start + i);
        back.put_response({i, 0, Status::okay});
        CHECK(back.publish());
        CHECK(memory.index(response_producer_offset) == start + i);
    }
}

TEST_CASE("back ring: attaches where the responses stand", "[unit][ring]") {
    Pair pair;
    static_cast<void>(pair.ask(20));
    pair.consume(20);
    pair.answer(20);
    static_cast<void>(pair.back.publish());
    pair.take(20);
    static_cast<void>(pair.ask(5));

    BackRing successor(pair.memory.pages(), Protocol::native);
    CHECK(successor.responses_published() == 20);
    CHECK(successor.pending_requests().value() == 5);
    CHECK(successor.consume().id == 20);
}

TEST_CASE("back ring: refuses a producer more than a ring ahead", "[unit][ring][hostile]") {
    for (const std::uint32_t jump : {33u, 34u, 64u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
        Pair pair;
        pair.front.force_request_producer(jump);
        CHECK(pair.back.pending_requests().error() == Errc::ring_overrun);
        CHECK(pair.back.stopped());
    }
}

TEST_CASE("back ring: a ring is counted from the answers, not from what was consumed", "[unit][ring][hostile]") {
    Pair pair;
    static_cast<void>(pair.ask(32));
    pair.consume(30);
    pair.answer(10);
    pair.front.force_request_producer(42);  // 10 answered + a ring
    CHECK(pair.back.pending_requests().value() == 12);
    pair.front.force_request_producer(43);
    CHECK(pair.back.pending_requests().error() == Errc::ring_overrun);
}

TEST_CASE("back ring: refuses a producer that goes backwards", "[unit][ring][hostile]") {
    Pair pair;
    static_cast<void>(pair.ask(8));
    pair.consume(8);
    pair.front.force_request_producer(7);  // within a ring of the answers, but consumed already
    CHECK(pair.back.rearm());
    CHECK(pair.back.pending_requests().error() == Errc::ring_overrun);
}

TEST_CASE("back ring: an overrun ring stays stopped when the producer comes back", "[unit][ring][hostile]") {
    Pair pair;
    static_cast<void>(pair.ask(2));
    pair.consume(1);
    pair.front.force_request_producer(100);
    CHECK(pair.back.rearm());
    CHECK(pair.back.pending_requests().error() == Errc::ring_overrun);
    pair.front.force_request_producer(2);
    CHECK(pair.back.pending_requests().error() == Errc::ring_overrun);
    CHECK_FALSE(pair.back.request_waiting());
    CHECK_FALSE(pair.back.rearm());
    pair.answer(1);  // what was consumed is still answered
    static_cast<void>(pair.back.publish());
    CHECK(pair.front.take_response().value()->id == 0);
}

TEST_CASE("back ring: its own indices are never read back from the frontend", "[unit][ring][hostile]") {
    Pair pair;
    static_cast<void>(pair.ask(4));
    pair.consume(2);
    pair.answer(1);
    static_cast<void>(pair.back.publish());
    pair.memory.set_index(response_producer_offset, 0xdeadbeef);
    pair.memory.set_index(request_event_offset, 0xdeadbeef);
    CHECK(pair.back.pending_requests().value() == 2);
    pair.answer(1);
    static_cast<void>(pair.back.publish());
    CHECK(pair.memory.index(response_producer_offset) == 2);
}
