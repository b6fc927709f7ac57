// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The recovery log under traffic: after every turn it holds exactly the requests that were taken and not answered, as
// the guest sent them, in the order in which they were taken.
#include <random>
#include <set>

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;

namespace {

/// What was put into each ring, to compare with the log.
struct Ledger {
    explicit Ledger(VbdHarness& its_machine) : machine(its_machine), put(its_machine.frontend().queue_count()) {}

    void send(const ring::RawRequest& request, unsigned queue) {
        put[queue].push_back(request);
        machine.send(request, queue);
    }

    void check() const {
        const LogContents log = machine.log();
        std::set<std::uint64_t> expected;
        for (const std::uint64_t id : machine.unanswered_ids())
            expected.insert(id);
        for (unsigned queue = 0; queue < put.size(); ++queue) {
            REQUIRE_FALSE(log.queues[queue].publishing);
            for (std::size_t i = log.queues[queue].consumed; i < put[queue].size(); ++i) {
                expected.erase(put[queue][i].id);  // still in the ring
            }
        }
        std::set<std::uint64_t> logged;
        for (const LogContents::Request& entry : log.unanswered) {
            REQUIRE(logged.insert(entry.request.id).second);
            const ring::RawRequest& sent = put[entry.queue].at(entry.ring_index);
            REQUIRE(sent.id == entry.request.id);
            REQUIRE(sent.operation == entry.request.operation);
            REQUIRE(sent.sector_number == entry.request.sector_number);
            REQUIRE(sent.segment_count == entry.request.segment_count);
        }
        REQUIRE(logged == expected);
    }

    VbdHarness& machine;
    std::vector<std::vector<ring::RawRequest>> put;
};

}  // namespace

TEST_CASE("recovery log: after every turn it is what was taken and not answered", "[unit][tapdisk]") {
    const unsigned seed = GENERATE(1u, 2u, 3u);
    std::mt19937 random(seed);
    StubDisk disk;
    VbdHarness::Options options = disk.options();
    options.frontend.queue_count = 3;
    options.frontend.persistent = seed % 2 == 0;
    VbdHarness machine{options};
    Ledger ledger{machine};
    const GuestBuffer small = machine.pages(2);
    const GuestBuffer large = machine.pages(30);
    const auto errors = {0, 0, 0, EIO, ENOSPC};
    std::uint64_t id = 0;
    for (int step = 0; step < 1500; ++step) {
        const auto queue = static_cast<unsigned>(random() % 3);
        const std::uint64_t sector = random() % 4000;
        if (!machine.frontend().ring(queue).full()) {
            switch (random() % 8) {
                case 0:
                    ledger.send(machine.read(++id, sector, small), queue);
                    break;
                case 1:
                    ledger.send(machine.write(++id, sector, small), queue);
                    break;
                case 2:
                    ledger.send(machine.write(++id, sector, large), queue);
                    break;
                case 3:
                    ledger.send(VbdHarness::discard(++id, {sector, 1 + random() % 64}), queue);
                    break;
                case 4:
                    ledger.send(machine.barrier(++id, sector, small), queue);
                    break;
                case 5:
                    ledger.send(VbdHarness::flush(++id), queue);
                    break;
                case 6:
                    ledger.send(machine.read(++id, sector + (1 << 20), small), queue);
                    break;
                default:
                    break;
            }
        }
        if (random() % 3 == 0) {
            machine.round();
            ledger.check();
        }
        while (disk.count() > 0 && random() % 4 != 0) {
            const auto index = random() % disk.count();
            const bool flush = disk.letter(index) == 'F';
            disk.complete(index, flush ? 0 : *(errors.begin() + random() % errors.size()));
        }
        if (random() % 50 == 0) machine.vbd().retry();
    }
    disk.automatic = true;
    disk.complete_all();
    machine.vbd().retry();
    machine.settle();
    CHECK(machine.unanswered() == 0);
    ledger.check();
}

TEST_CASE("recovery log: indices go on over the end of the ring, many times", "[unit][tapdisk]") {
    VbdHarness machine;
    const GuestBuffer page = machine.pages(1);
    for (std::uint64_t id = 0; id < 200; ++id)
        REQUIRE(machine.run(machine.read(id, 0, page)) == ring::Status::okay);
    const LogContents log = machine.log();
    CHECK(log.queues[0].consumed == 200);
    CHECK(log.queues[0].new_producer == 200);
    CHECK(log.unanswered.empty());
}
