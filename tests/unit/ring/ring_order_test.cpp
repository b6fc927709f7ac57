// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The lost wake-up. One side publishes (stores its producer, then reads the other's event) while the other re-arms
// (stores its event, then reads the producer). One of them must notice: the publisher that it has to notify, or the
// other side that it must not sleep. With release stores both loads may pass both stores, neither side notices, and the
// disk stops. Two threads run that race many times, in both directions, with the real rings.
#include <atomic>
#include <chrono>
#include <sched.h>
#include <thread>
#include <vector>

#include "libblktap/ring/back_ring.hpp"
#include "libblktap/ring/front_ring.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/ring/ring_memory.hpp"
#include "tests/unit/ring/seeded_random.hpp"

using namespace blktap;
using namespace blktap::ring;

namespace {

constexpr std::uint64_t rounds_max = 1'000'000;
constexpr auto time_budget = std::chrono::seconds(2);

/// The processors that this process may use.
std::vector<std::size_t> usable_processors() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof(allowed), &allowed);
    std::vector<std::size_t> processors;
    for (std::size_t processor = 0; processor < CPU_SETSIZE; ++processor) {
        if (CPU_ISSET(processor, &allowed)) processors.push_back(processor);
    }
    return processors;
}

/// Gives the calling thread a processor of its own, if permitted. Otherwise the two threads would hardly ever run at
/// the same time on a busy machine, and there would be no race.
void take_processor(std::size_t processor) noexcept {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof(one), &one);
    const sched_param lowest{.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &lowest);
}

/// Two threads leave meet() within nanoseconds of each other. Not std::barrier, which may sleep.
class SpinBarrier {
  public:
    void meet(std::size_t me) noexcept {
        const std::uint64_t round = arrived_[me].count.load(std::memory_order_relaxed) + 1;
        arrived_[me].count.store(round, std::memory_order_release);
        while (arrived_[1 - me].count.load(std::memory_order_acquire) < round) {
        }
    }

  private:
    struct alignas(64) Arrived {
        std::atomic<std::uint64_t> count = 0;
    };
    Arrived arrived_[2];
};

struct Race {
    test::RingMemory memory;
    FrontRing front{memory.pages(), Protocol::native};
    BackRing back{memory.pages(), Protocol::native};
    SpinBarrier barrier;
    // Written by the back thread, read by the front thread behind the barrier.
    bool back_saw_request = false;
    bool back_notified = false;
    // Written by the front thread, read by the back thread behind the barrier.
    bool last_round = false;

    std::uint64_t rounds = 0;
    std::uint64_t lost_requests = 0;
    std::uint64_t lost_responses = 0;
};

/// How long to wait after a barrier: now and then long, so that every overlap of the two threads occurs on any machine.
unsigned random_delay(test::SeededRandom& random) {
    const unsigned shift = random.between(0u, 9u);
    return random.any<unsigned>() % (1u << shift);
}

void spin(unsigned count) noexcept {
    for (; count > 0; --count)
        std::atomic_signal_fence(std::memory_order_seq_cst);
}

// Each thread reads the indices right before the barrier, so that both processors share their cache line: loads are
// then quick and stores slow, and the forbidden order becomes likely.

void run_back(Race& race) {
    test::SeededRandom random;
    bool last = false;
    while (!last) {
        unsigned delay = random_delay(random);
        static_cast<void>(race.back.request_waiting());
        race.barrier.meet(1);
        spin(delay);
        race.back_saw_request = race.back.rearm();
        race.barrier.meet(1);

        static_cast<void>(race.back.pending_requests());
        race.back.put_response({race.back.consume().id, 0, Status::okay});
        delay = random_delay(random);
        static_cast<void>(race.back.request_waiting());
        race.barrier.meet(1);
        spin(delay);
        race.back_notified = race.back.publish();
        race.barrier.meet(1);
        last = race.last_round;
    }
}

void run_front(Race& race) {
    test::SeededRandom random;
    const auto deadline = std::chrono::steady_clock::now() + time_budget;
    bool last = false;
    while (!last) {
        race.front.put_request(RawRequest{});
        unsigned delay = random_delay(random);
        static_cast<void>(race.front.response_waiting());
        race.barrier.meet(0);
        spin(delay);
        const bool notified = race.front.publish();
        race.barrier.meet(0);
        race.lost_requests += !notified && !race.back_saw_request;

        const bool failed = race.lost_requests + race.lost_responses > 0;
        last = ++race.rounds == rounds_max || failed || std::chrono::steady_clock::now() >= deadline;
        race.last_round = last;
        delay = random_delay(random);
        static_cast<void>(race.front.response_waiting());
        race.barrier.meet(0);
        spin(delay);
        const bool saw_response = race.front.rearm();
        race.barrier.meet(0);
        race.lost_responses += !race.back_notified && !saw_response;
        static_cast<void>(race.front.take_response());
    }
}

}  // namespace

TEST_CASE("ring order: no wake-up is lost when one side publishes while the other re-arms", "[unit][ring][threads]") {
    const auto processors = usable_processors();
    if (processors.size() < 2) {
        WARN("one processor: nothing races");
        return;
    }
    Race race;
    std::thread back([&] {
        take_processor(processors[0]);
        run_back(race);
    });
    std::thread front([&] {
        take_processor(processors[1]);
        run_front(race);
    });
    back.join();
    front.join();
    INFO(race.rounds << " rounds");
    CHECK(race.lost_requests == 0);
    CHECK(race.lost_responses == 0);
}
