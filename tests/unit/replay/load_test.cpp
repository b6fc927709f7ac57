// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/load/load.hpp"

#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;
using Catch::Contains;

namespace {

/// A verified load of mixed requests over a small disk, then everything read back, as the command does it.
struct VerifiedLoad {
    Machine machine{256};
    std::uint64_t block_sectors = 12;
    bool indirect = false;
    unsigned read_percent = 50;

    void run() {
        const SectorRange range{8, 240};
        Session session(machine.backend, Machine::frontend());
        DiskModel model(range, 7);
        Pump pump(
            session, machine.clock,
            {8, static_cast<std::uint32_t>(segments_for(block_sectors).size()), false, std::chrono::seconds(10), {}});
        GeneratorOptions options;
        options.read_percent = read_percent;
        options.requests_max = 500;
        options.flush_every = 20;
        options.exclusive = true;
        LoadTraffic load(options, range, block_sectors, indirect, Nanoseconds::max(), &model);
        pump.run(load, statistics);
        ReadBackTraffic read_back(model, block_sectors, indirect);
        pump.run(read_back, reading_back);
    }
    Statistics statistics;
    Statistics reading_back;
};

/// True for the n-th write on.
auto from_write(int n) {
    return [n](const ring::Judged& judged) mutable { return judged.operation == ring::Operation::write && --n < 0; };
}

}  // namespace

TEST_CASE("load: a right backend passes verification, direct and indirect", "[unit][replay]") {
    VerifiedLoad load;
    load.indirect = GENERATE(false, true);
    load.run();
    CHECK(load.statistics.reads + load.statistics.writes == 500);
    CHECK(load.statistics.flushes > 5);
    CHECK(load.statistics.errors == 0);
    CHECK(load.reading_back.reads == 20);
}

TEST_CASE("load: a lost write is found", "[unit][replay]") {
    VerifiedLoad load;
    load.machine.backend.skip_data = from_write(100);
    CHECK_THROWS_WITH(load.run(), Contains("lost"));
}

TEST_CASE("load: a read that returns nothing is found, whatever was in the page before", "[unit][replay]") {
    VerifiedLoad load;
    load.machine.backend.skip_data = [](const ring::Judged& judged) {
        return judged.operation == ring::Operation::read;
    };
    CHECK_THROWS_WITH(load.run(), Contains("foreign"));
}

TEST_CASE("load: a write to the wrong place is found", "[unit][replay]") {
    VerifiedLoad load;
    load.machine.backend.shift_sector = [](const ring::Judged& judged) {
        return judged.operation == ring::Operation::write && judged.range.first > 100 ? 1u : 0u;
    };
    CHECK_THROWS_WITH(load.run(), Contains("misplaced"));
}

TEST_CASE("load: a write that was lost at the very end is found by reading back", "[unit][replay]") {
    VerifiedLoad load;
    load.read_percent = 0;
    load.machine.backend.skip_data = from_write(499);
    CHECK_THROWS_WITH(load.run(), Contains("lost"));
}

TEST_CASE("load: writes answered with an error expect nothing", "[unit][replay]") {
    VerifiedLoad load;
    load.machine.backend.change_answer = [n = 0](ring::Response& response) mutable {
        if (response.operation == 1 && ++n % 3 == 0) response.status = ring::Status::error;
    };
    load.run();
    CHECK(load.statistics.errors > 50);
}

TEST_CASE("load: nothing is asked from its last moment on", "[unit][replay]") {
    LoadTraffic load({}, {0, 64}, 8, false, Nanoseconds(100), nullptr);
    Slot slot;
    CHECK(load.next(slot, Nanoseconds(99)) == Traffic::Next::request);
    CHECK(load.next(slot, Nanoseconds(100)) == Traffic::Next::finished);
}
