// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the simulated frontend promises by itself; with a backend it is tested in back_ring_test.cpp.
#include "libblktap/ring/front_ring.hpp"

#include <cstring>

#include "tests/support/catch.hpp"
#include "tests/unit/ring/ring_memory.hpp"

using namespace blktap;
using namespace blktap::ring;
using test::RingMemory;

TEST_CASE("front ring: a new ring is empty and each side asks for the first message", "[unit][ring]") {
    RingMemory memory;
    std::memset(memory.pages().data(), 0xff, memory.pages().size());
    FrontRing front(memory.pages(), Protocol::native);
    CHECK(memory.index(request_producer_offset) == 0);
    CHECK(memory.index(request_event_offset) == 1);
    CHECK(memory.index(response_producer_offset) == 0);
    CHECK(memory.index(response_event_offset) == 1);
    for (std::size_t i = 16; i < ring_header_bytes; ++i)
        CHECK(memory.pages()[i] == std::byte{0});
    CHECK(front.in_flight() == 0);
    CHECK_FALSE(front.response_waiting());
}

TEST_CASE("front ring: is full with one request for each slot", "[unit][ring]") {
    RingMemory memory;
    FrontRing front(memory.pages(), Protocol::x86_32);
    for (std::uint32_t i = 0; i < front.slot_count(); ++i) {
        CHECK_FALSE(front.full());
        front.put_request(RawRequest{});
    }
    CHECK(front.full());
    CHECK(front.in_flight() == 32);
    CHECK(front.requests_put() == 32);
}

TEST_CASE("front ring: refuses an answer to a request that it has not published", "[unit][ring]") {
    RingMemory memory;
    FrontRing front(memory.pages(), Protocol::native);
    front.put_request(RawRequest{});
    memory.set_index(response_producer_offset, 1);
    CHECK(front.take_response().error() == Errc::ring_overrun);
    static_cast<void>(front.publish());
    CHECK(front.take_response().value().has_value());
    memory.set_index(response_producer_offset, 0);
    CHECK(front.take_response().error() == Errc::ring_overrun);
}

TEST_CASE("front ring: a slot's bytes are one stride, and the index wraps", "[unit][ring]") {
    RingMemory memory;
    FrontRing front(memory.pages(), Protocol::x86_32);
    CHECK(front.slot_bytes(0).data() == memory.pages().data() + 64);
    CHECK(front.slot_bytes(0).size() == 108);
    CHECK(front.slot_bytes(33).data() == memory.pages().data() + 64 + 108);
}
