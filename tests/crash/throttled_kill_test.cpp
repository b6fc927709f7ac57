// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapdisk is killed while its storage is slow, so that writes are in flight; others read all the time how much memory
// it uses, so that it is seen to be dead while its writes are still on their way. A successor has fast storage: what it
// writes must not be overtaken by what the dead one still writes. BLKTAP_THROTTLED_KILLS=N: so many kills instead.
#include <algorithm>
#include <cstdlib>

#include "tests/crash/mortal/file_keeper.hpp"
#include "tests/crash/mortal/mortal_tapdisk.hpp"
#include "tests/crash/mortal/throttle.hpp"
#include "tests/replay/load/load.hpp"
#include "tests/replay/load/mixed_traffic.hpp"
#include "tests/replay/load/pump.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t disk_sectors = (32ULL << 20) / sector_size_bytes;
constexpr std::uint64_t slow_bytes_per_second = 512 << 10;
constexpr unsigned deaths_per_scene = 10;
/// Of so many, a few are seen before their last write is over.
constexpr unsigned enough_deaths = 30;

/// After each death the successor is fast for a while, then slow for a while, then killed.
class SlowlyDying final : public replay::Traffic {
  public:
    SlowlyDying(replay::MixedTraffic& load, MortalTapdisk& tapdisk, const Throttle& throttle, const Clock& clock,
                unsigned deaths)
        : load_(load), tapdisk_(tapdisk), throttle_(throttle), clock_(clock), deaths_(deaths) {
        plan(clock.now());
    }

    Next next(replay::Slot& slot, Nanoseconds now) override {
        tapdisk_.do_what_is_due(now);
        return load_.next(slot, now);
    }
    void completed(replay::Slot& slot, ring::Status status) override {
        load_.completed(slot, status);
        if (const auto gap = tapdisk_.deaths().take_gap(clock_)) {
            gaps_.push_back(*gap);
            plan(clock_.now());
        }
    }
    void stop() noexcept override { load_.stop(); }

    const std::vector<Nanoseconds>& gaps() const noexcept { return gaps_; }

  private:
    void plan(Nanoseconds now) {
        if (tapdisk_.deaths().count() >= deaths_) return load_.stop();
        tapdisk_.at(now + 300ms, [this] {
            throttle_.slow_down(tapdisk_.pid());
            tapdisk_.at(clock_.now() + 100ms, [this] { tapdisk_.kill(); });
        });
    }

    replay::MixedTraffic& load_;
    MortalTapdisk& tapdisk_;
    const Throttle& throttle_;
    const Clock& clock_;
    const unsigned deaths_;
    std::vector<Nanoseconds> gaps_;
};

struct Outcome {
    unsigned deaths = 0;
    unsigned waited = 0;
    std::vector<Nanoseconds> gaps{};
};

void play(const std::string& format, bool persistent, std::uint64_t seed, bool careless, Outcome& result) {
    const fakexen::World world;
    const fakexen::ActAs guest{5};
    const TemporaryDirectory directory{BLKTAP_BIN_DIR};
    const std::string image =
        format == "raw" ? directory.make_file("image", disk_sectors * sector_size_bytes) : directory.path("image");
    if (format != "raw") {
        REQUIRE(run({BLKTAP_BIN_DIR "/tap-ctl", "image", "create", format + ":" + image, "--size", "32M"},
                    {.output = "/dev/null"}, 60s) == 0);
    }
    const Throttle throttle(directory.path("."), slow_bytes_per_second);
    const MonotonicClock clock;
    FileKeeper files(directory.path("."), careless);
    MortalTapdisk tapdisk(
        world, directory,
        {.image = {format, image, false, {}, false},
         .open_file = [&files](const ipc::OpenFileArguments& file, pid_t process) { return files.open(file, process); },
         .tormented = true});
    MortalTapdisk::Link& link = tapdisk.link("");
    replay::Session session(link, {.domain = 5, .queue_count = 1, .ring_order = 4, .persistent = persistent});
    link.serves(session.frontend());
    replay::Pump pump(session, clock, {.depth = 48, .pages_per_slot = replay::MixedTraffic::large_blocks});
    replay::DiskModel model{{0, disk_sectors}, seed};
    replay::MixedTraffic load(model, 1, session.device().discard, seed);
    load.without_barriers();
    SlowlyDying traffic(load, tapdisk, throttle, clock, deaths_per_scene);
    replay::Statistics statistics;
    try {
        REQUIRE(pump.run(traffic, statistics));
    } catch (const replay::Failure& failure) {
        throw replay::Failure(failure.what() + ("\n" + tapdisk.describe()));
    }
    replay::ReadBackTraffic read_back(model, replay::MixedTraffic::block_sectors, false);
    REQUIRE(pump.run(read_back, statistics));
    session.disconnect();
    CHECK(tapdisk.end() == 0);
    result.deaths += tapdisk.deaths().count();
    result.waited += files.waited();
    result.gaps.insert(result.gaps.end(), traffic.gaps().begin(), traffic.gaps().end());
}

double milliseconds(Nanoseconds time) {
    return static_cast<double>(time.count()) / 1e6;
}

}  // namespace

TEST_CASE("recovery: what a dead tapdisk still writes overtakes nothing that its successor writes", "[crash]") {
    if (const std::string missing = Throttle::missing(BLKTAP_BIN_DIR); !missing.empty()) {
        WARN("SKIPPED: storage cannot be made slow: " << missing);
        return;
    }
    const char* const text = std::getenv("BLKTAP_THROTTLED_KILLS");
    const unsigned wanted = text == nullptr ? enough_deaths : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
    const char* const fault = std::getenv(mortal::fault_variable);
    const bool careless = fault != nullptr && std::string(fault) == careless_fault;
    static constexpr const char* formats[] = {"raw", "qcow2", "vhd"};
    Outcome result;
    for (unsigned number = 0; result.deaths < wanted; ++number) {
        const char* const format = formats[number % 3];
        const bool persistent = number / 3 % 2 == 0;
        INFO("scene " << number << ": " << format << (persistent ? ", persistent" : ", copied"));
        play(format, persistent, 20'061'126 + number, careless, result);
    }
    std::ranges::sort(result.gaps);
    WARN(result.deaths << " deaths with slow storage, " << result.waited
                       << " files given only when the I/O of a dead tapdisk was over; from a death to the next answer: "
                          "median "
                       << milliseconds(result.gaps[result.gaps.size() / 2]) << " ms, worst "
                       << milliseconds(result.gaps.back()) << " ms");
    if (result.deaths >= enough_deaths) CHECK(result.waited > 0);
}
