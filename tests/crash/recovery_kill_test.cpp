// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapdisk is killed under load, at any moment, and another one goes on with the rings: the guest has an answer to each
// request, once and without an error, every byte is what was written last, and the whole disk is read back in the end.
// Real processes and files, Xen's rings (simulated) and local ones. BLKTAP_RECOVERY_KILLS=N: so many kills instead.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "tests/crash/mortal_tapdisk.hpp"
#include "tests/replay/load/load.hpp"
#include "tests/replay/load/pump.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t seed = 20'061'126;
constexpr std::uint64_t disk_sectors = (32ULL << 20) / sector_size_bytes;
constexpr std::uint64_t block_sectors = 8;
constexpr unsigned depth = 16;
constexpr int only_leaks = 3;  // of tap-ctl image check
const std::string tap_ctl = BLKTAP_BIN_DIR "/tap-ctl";
/// So many kills, then the whole disk is read back and the next scene begins.
constexpr unsigned kills_per_scene = 25;

int kills_wanted() {
    const char* const text = std::getenv("BLKTAP_RECOVERY_KILLS");
    return text == nullptr ? 300 : std::max(1, std::atoi(text));
}

/// Load that goes on over deaths: kills the tapdisk some time after each recovery.
class DeadlyLoad final : public replay::Traffic {
  public:
    DeadlyLoad(replay::LoadTraffic& load, MortalTapdisk& tapdisk, const Clock& clock, std::uint64_t first_life)
        : load_(load), tapdisk_(tapdisk), clock_(clock), life_(first_life), kill_at_(clock.now() + lifetime()) {}

    Next next(replay::Slot& slot, Nanoseconds now) override {
        if (kill_at_ <= now && killed_ < kills_per_scene) {
            tapdisk_.kill();
            killed_at_ = now;
            ++killed_;
            kill_at_ = Nanoseconds::max();
        }
        if (killed_ == kills_per_scene && killed_at_ == Nanoseconds{0}) load_.stop();
        return load_.next(slot, now);
    }
    void completed(replay::Slot& slot, ring::Status status) override {
        REQUIRE(status == ring::Status::okay);
        load_.completed(slot, status);
        ++answered_;
        // An answer of the dead one may still have been in the ring.
        if (killed_at_ == Nanoseconds{0} || tapdisk_.successors() < killed_) return;
        gaps_.push_back(clock_.now() - killed_at_);
        killed_at_ = Nanoseconds{0};
        ++life_;
        kill_at_ = clock_.now() + lifetime();
    }
    Nanoseconds wake_at(Nanoseconds) const noexcept override { return kill_at_; }
    void stop() noexcept override { load_.stop(); }

    std::uint64_t answered() const noexcept { return answered_; }
    /// From each kill to the first answer of the next tapdisk.
    const std::vector<Nanoseconds>& gaps() const noexcept { return gaps_; }

  private:
    Nanoseconds lifetime() const { return std::chrono::microseconds(200 + life_ * 7919 % 12'000); }

    replay::LoadTraffic& load_;
    MortalTapdisk& tapdisk_;
    const Clock& clock_;
    std::uint64_t life_;
    Nanoseconds kill_at_;
    Nanoseconds killed_at_{0};
    unsigned killed_ = 0;
    std::uint64_t answered_ = 0;
    std::vector<Nanoseconds> gaps_;
};

struct Scene {
    const char* format;
    replay::FrontendOptions rings;
};

/// Every format with every kind of ring, in turn.
Scene scene_of(unsigned number) {
    static constexpr const char* formats[] = {"raw", "qcow2", "vhd"};
    replay::FrontendOptions rings;
    rings.domain = 5;
    rings.local = number % 4 == 3;
    rings.queue_count = number / 3 % 2 == 0 ? 1 : 4;
    rings.ring_order = number / 6 % 2 == 0 ? 0 : 4;
    rings.persistent = !rings.local && number % 2 == 0;
    return {formats[number % 3], rings};
}

struct Outcome {
    std::uint64_t answered = 0;
    std::uint64_t adopted = 0;
    std::vector<Nanoseconds> gaps{};
};

void play(const Scene& scene, std::uint64_t first_life, Outcome& result) {
    const fakexen::World world;
    const fakexen::ActAs guest{5};
    // Beside the programs: /tmp may be a file system that cannot do direct I/O.
    const TemporaryDirectory directory{BLKTAP_BIN_DIR};
    const bool is_raw = std::string(scene.format) == "raw";
    const std::string image =
        is_raw ? directory.make_file("image", disk_sectors * sector_size_bytes) : directory.path("image");
    const std::string spec = std::string(scene.format) + ":" + image;
    if (!is_raw) REQUIRE(run({tap_ctl, "image", "create", spec, "--size", "32M"}, {}, 60s) == 0);
    const MonotonicClock clock;
    MortalTapdisk tapdisk(world, directory, {scene.format, image, false, {}, false});
    {
        replay::Session session(tapdisk, scene.rings);
        tapdisk.serves(session.frontend());
        replay::Pump pump(session, clock, {.depth = depth});
        replay::DiskModel model{{0, disk_sectors}, seed};
        replay::LoadTraffic load({.read_percent = 30, .flush_every = 50, .exclusive = true, .seed = seed + first_life},
                                 {0, disk_sectors}, block_sectors, false, Nanoseconds::max(), &model);
        DeadlyLoad traffic(load, tapdisk, clock, first_life);
        replay::Statistics statistics;
        REQUIRE(pump.run(traffic, statistics));
        replay::ReadBackTraffic read_back(model, block_sectors, false);
        REQUIRE(pump.run(read_back, statistics));
        session.disconnect();
        result.answered += traffic.answered();
        result.gaps.insert(result.gaps.end(), traffic.gaps().begin(), traffic.gaps().end());
    }
    result.adopted += tapdisk.adopted();
    CHECK(tapdisk.successors() == kills_per_scene);
    CHECK(tapdisk.end() == 0);
    INFO(tapdisk.output());
    if (!is_raw) CHECK(run({tap_ctl, "image", "check", spec}, {}, 60s) % only_leaks == 0);
}

double milliseconds(Nanoseconds time) {
    return static_cast<double>(time.count()) / 1e6;
}

}  // namespace

TEST_CASE("recovery: a tapdisk that is killed under load, again and again, is seen as a pause", "[crash]") {
    const unsigned scenes = (static_cast<unsigned>(kills_wanted()) + kills_per_scene - 1) / kills_per_scene;
    Outcome result;
    for (unsigned number = 0; number < scenes; ++number) {
        const Scene scene = scene_of(number);
        INFO(scene.format << (scene.rings.local ? ", local" : ", Xen") << ", queues " << scene.rings.queue_count
                          << ", order " << scene.rings.ring_order << ", persistent " << scene.rings.persistent);
        play(scene, number * std::uint64_t{kills_per_scene}, result);
    }
    std::ranges::sort(result.gaps);
    WARN(result.gaps.size() << " kills, " << result.answered << " requests answered, " << result.adopted
                            << " of them by a successor; from a kill to the next answer: median "
                            << milliseconds(result.gaps[result.gaps.size() / 2]) << " ms, worst "
                            << milliseconds(result.gaps.back()) << " ms");
    CHECK(result.gaps.size() == std::size_t{scenes} * kills_per_scene);
    CHECK(result.adopted > result.gaps.size());
}
