// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The turn: rings share it fairly, only a ring that misbehaves is stopped, no turn exceeds its limits, and when the
// memory for guest data is used up the guest waits.
#include "tapdisk/ring/ring_client.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/vbd_harness.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Status;

namespace {

VbdHarness::Options with_queues(unsigned queue_count, unsigned ring_order) {
    VbdHarness::Options options;
    options.frontend.queue_count = queue_count;
    options.frontend.ring_order = ring_order;
    return options;
}

/// Fills `queue` with reads of one page; returns how many.
std::uint32_t fill(VbdHarness& machine, unsigned queue, const GuestBuffer& page, std::uint64_t first_id) {
    std::uint32_t count = 0;
    for (; !machine.frontend().ring(queue).full(); ++count)
        machine.put(machine.read(first_id + count, 0, page), queue);
    return count;
}

std::uint64_t turns_of_a_round(VbdHarness& machine) {
    const std::uint64_t before = machine.counter("/turns/count");
    machine.round();
    return machine.counter("/turns/count") - before;
}

}  // namespace

TEST_CASE("request engine: a full ring of every size is served", "[unit][tapdisk]") {
    const unsigned order = GENERATE(0u, 1u, 4u);
    VbdHarness machine{with_queues(1, order)};
    const GuestBuffer page = machine.pages(1);
    for (int round = 0; round < 3; ++round) {
        const std::uint32_t count = fill(machine, 0, page, 0);
        CHECK(count == 32u << order);
        machine.publish();
        machine.settle();
        CHECK(machine.unanswered() == 0);
        machine.forget_answers();
    }
}

TEST_CASE("request engine: no ring gets more than its budget ahead of another", "[unit][tapdisk]") {
    VbdHarness machine{with_queues(3, 2)};
    machine.kernel().hold();
    const GuestBuffer page = machine.pages(1);
    for (unsigned queue = 0; queue < 3; ++queue)
        fill(machine, queue, page, 1000 * queue);
    for (unsigned queue = 0; queue < 3; ++queue)
        machine.publish(queue);
    machine.settle();
    const LogContents log = machine.log();
    REQUIRE(log.unanswered.size() == 3 * 128);
    std::array<std::uint32_t, 3> taken{};
    for (const LogContents::Request& request : log.unanswered) {
        ++taken[request.queue];
        const auto [least, most] = std::ranges::minmax(taken);
        REQUIRE(most - least <= RingClient::queue_budget);
    }
}

TEST_CASE("request engine: completions are answered while a long ring is being taken", "[unit][tapdisk]") {
    VbdHarness machine{with_queues(1, 4)};
    const GuestBuffer page = machine.pages(1);
    fill(machine, 0, page, 0);
    machine.publish();
    machine.settle();
    // All are answered, but not in one publication: a turn takes 32 and answers what is complete.
    CHECK(machine.counter("/turns/count") >= 512 / RingClient::queue_budget);
}

TEST_CASE("request engine: a producer that runs ahead stops its own ring and no other", "[unit][tapdisk]") {
    VbdHarness machine{with_queues(2, 0)};
    machine.kernel().hold();
    const GuestBuffer page = machine.pages(1);
    machine.send(machine.read(1, 0, page), 0);
    machine.settle();
    const std::uint32_t put = machine.frontend().ring(0).requests_put();
    machine.frontend().ring(0).force_request_producer(GENERATE_COPY(put + 33, put - 2, put + 0x80000000u));
    machine.frontend().notify(0);
    machine.settle();
    CHECK(machine.counter("/stopped-queues") == 1);

    SECTION("what was taken before is still answered") {
        machine.kernel().complete_all();
        machine.settle();
        CHECK(machine.answer(1) == Status::okay);
    }
    SECTION("the other ring goes on") {
        machine.kernel().complete_at_submit();
        CHECK(machine.run(machine.read(2, 0, page), 1) == Status::okay);
    }
    SECTION("events of the stopped ring do not keep the loop busy") {
        machine.frontend().notify(0);
        machine.settle();
        CHECK(turns_of_a_round(machine) == 1);
        CHECK(machine.counter("/stopped-queues") == 1);
    }
    SECTION("the frontend can be disconnected and connected again") {
        machine.kernel().complete_at_submit();
        machine.kernel().complete_all();
        CHECK_FALSE(machine.disconnect());
        machine.make_frontend({});
        machine.connect();
        CHECK(machine.run(machine.read(3, 0, machine.pages(1))) == Status::okay);
    }
}

TEST_CASE("request engine: a turn never does more than its share, under a mixed load", "[unit][tapdisk][XSA-332]") {
    VbdHarness::Options options = with_queues(4, 1);
    options.frontend.persistent = GENERATE(false, true);
    VbdHarness machine{options};
    const GuestBuffer small = machine.pages(3);
    const GuestBuffer large = machine.pages(40);
    std::uint64_t id = 0;
    for (int round = 0; round < 10; ++round) {
        for (unsigned queue = 0; queue < 4; ++queue) {
            machine.put(machine.read(++id, 0, small), queue);
            machine.put(machine.write(++id, 64, small), queue);
            machine.put(machine.read(++id, 128, large), queue);
            machine.put(machine.write(++id, 1024, large), queue);
            machine.put(VbdHarness::flush(++id), queue);
        }
        for (unsigned queue = 0; queue < 4; ++queue)
            machine.publish(queue);
        machine.settle();
    }
    REQUIRE(machine.unanswered() == 0);
    const std::uint64_t copies = options.frontend.persistent ? 0 : 1;
    CHECK(machine.counter("/turns/most-per-turn/io-submits") == 1);
    CHECK(machine.counter("/turns/most-per-turn/descriptor-copies") == copies);
    CHECK(machine.counter("/turns/most-per-turn/write-copies") == copies);
    CHECK(machine.counter("/turns/most-per-turn/read-copies") == copies);
    CHECK(machine.counter("/turns/most-per-turn/notifies") <= 4);
    CHECK(machine.counter("/turns/most-per-turn/notifies") >= 1);
}

TEST_CASE("request engine: with its memory used up the engine takes no more, does not spin, and serves all in the end",
          "[unit][tapdisk]") {
    VbdHarness::Options options = with_queues(4, 4);
    options.size_sectors = 128 * 1024;
    VbdHarness machine{options};
    machine.kernel().hold();
    constexpr std::uint64_t requests = 24;  // of 1 MiB each: 16 fill the pool
    constexpr std::uint64_t sectors = 2048;
    std::vector<GuestBuffer> buffers;
    for (std::uint64_t id = 0; id < requests; ++id) {
        buffers.push_back(machine.pages(ring::segments_indirect_max));
        buffers.back().fill(id * sectors, id + 1);
        machine.put(machine.write(id, id * sectors, buffers.back()), id % 4);
    }
    for (unsigned queue = 0; queue < 4; ++queue)
        machine.publish(queue);
    machine.settle();
    CHECK(machine.kernel().held() == 16);
    CHECK(machine.counter("/waited/for-memory") > 0);

    const std::uint64_t taken = machine.counter("/taken");
    machine.send(machine.read(requests, 0, machine.pages(1)));
    machine.settle();
    CHECK(machine.counter("/taken") == taken);
    CHECK(turns_of_a_round(machine) == 1);

    while (machine.kernel().complete_any())
        machine.settle();
    CHECK(machine.unanswered() == 0);
    for (std::uint64_t id = 0; id < requests; ++id) {
        REQUIRE(machine.answer(id) == Status::okay);
        CHECK(machine.image_bytes({id * sectors, sectors}) == buffers[id].get());
    }
}

TEST_CASE("request engine: a kernel that refuses I/O for the moment is asked again", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().fail_submit(1, EAGAIN);
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.settle();
    CHECK_FALSE(machine.answered(1));
    machine.clock().advance(std::chrono::seconds(1));
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
}

TEST_CASE("request engine: an operation that the kernel refuses for good is answered with an error",
          "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().refuse_operation(1, EBADF);
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::error);
    CHECK(machine.run(machine.read(2, 0, machine.pages(1))) == Status::okay);
}
