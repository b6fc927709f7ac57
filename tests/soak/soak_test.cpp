// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Many disks under load, for as long as one likes, while tapdisks and tapback are killed, storage becomes full and
// hangs, and disks are paused, moved, enlarged, snapshot, unplugged and plugged: every byte is what its guest wrote
// last, no guest sees an error, and nothing is left in the end. tests/soak/run starts it, with options.
#include <cstdio>
#include <filesystem>
#include <thread>

#include "tests/control/host/toolstack.hpp"
#include "tests/crash/mortal/death.hpp"
#include "tests/soak/host/assassin.hpp"
#include "tests/soak/host/supervisor.hpp"
#include "tests/soak/options.hpp"
#include "tests/soak/soak_disk.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::soak;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t first_domain = 5;
constexpr std::uint32_t xvda = 51712;

/// Of four disks one has local rings; of six one lies on a storage that hangs, and two on one that becomes full.
DiskPlan plan_of(unsigned number, const Storage& storage, std::uint64_t seed) {
    DiskPlan plan;
    plan.number = number;
    plan.vbd = {static_cast<std::uint16_t>(first_domain + number), xvda};
    plan.seed = replay::mix(seed + number);
    plan.local = number % 4 == 3;
    if (number % 6 == 1 && number / 6 < storage.hanging_count()) {
        plan.place = Place::hanging;
        plan.hanging = number / 6;
    } else if (number % 3 == 2 && storage.has(Place::small)) {
        plan.place = Place::small;
    }
    return plan;
}

void soak_for(Nanoseconds duration, Ground& ground, Weather& weather, Supervisor& supervisor, Assassin& assassin) {
    const MonotonicClock clock;
    const Diary none;
    const Nanoseconds until = clock.now() + duration;
    try {
        while (clock.now() < until && ground.findings.count() == 0) {
            weather.turn(clock.now());
            supervisor.turn(clock.now());
            assassin.turn(clock.now());
            std::this_thread::sleep_for(5ms);
        }
    } catch (const std::exception& error) {
        ground.findings.add("tapback", error.what(), none);
    }
    weather.clear_up();
    ground.over = true;
}

/// All disks get the test's own tapdisk, with this fault, in place of the one that ships.
void plant(control_test::ControlHost& host, const std::string& fault) {
    // Its process is known by its name.
    std::filesystem::create_symlink(BLKTAP_TESTS_DIR "/mortal_tapdisk", host.path("tapdisk"));
    host.use_tapdisk(host.path("tapdisk"));
    host.set_tapback_environment({std::string(mortal::fault_variable) + '=' + fault});
    host.replace_tapback();
}

}  // namespace

TEST_CASE("soak: whatever is done to disks under load, guests see pauses and nothing else", "[slow]") {
    const Options options = read_options();
    const Actions actions(options.actions);
    Tally tally;
    Findings findings(options.seed);
    Storage storage(options.disks / 6 + 1);
    Weather weather(storage, tally, replay::mix(options.seed + 1'000'001));
    control_test::ControlHost host;
    if (actions.has(Action::kill_any_tapdisk)) {
        host.configure("deaths-per-minute = 0\n");
        host.replace_tapback();
    }
    if (!options.planted.empty()) plant(host, options.planted);
    control_test::Toolstack xl(host, control_test::Xl::v4_19);
    Ground ground{host, TapbackCalls(host.run_directory() + "/tapback.sock"), TapCtl(host), storage, actions, findings,
                  tally};
    for (unsigned number = 0; number < options.disks; ++number)
        xl.create_domain(static_cast<std::uint16_t>(first_domain + number));
    {
        Supervisor supervisor(host, ground, options.disks, replay::mix(options.seed + 1'000'002));
        Assassin assassin(ground, replay::mix(options.seed + 1'000'003));
        std::vector<std::unique_ptr<SoakDisk>> disks;
        for (unsigned number = 0; number < options.disks; ++number)
            disks.push_back(std::make_unique<SoakDisk>(ground, plan_of(number, storage, options.seed)));
        soak_for(options.duration, ground, weather, supervisor, assassin);
    }
    std::printf("soak of %u disks, BLKTAP_SEED=%llu\n%s", options.disks, static_cast<unsigned long long>(options.seed),
                tally.table().c_str());
    if (findings.count() > 0) {
        std::filesystem::copy_file(host.path("log"), options.log, std::filesystem::copy_options::overwrite_existing);
        std::printf("tapback's log: %s\n", options.log.c_str());
    }
    for (unsigned number = 0; number < options.disks; ++number)
        xl.destroy_domain(static_cast<std::uint16_t>(first_domain + number));
    REQUIRE(findings.count() == 0);
    CHECK(tally.bytes_verified() > 0);
}
