// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapdisk dies under load, again and again: at each named store of its recovery log and its rings, in the middle of
// going on where another one died, and at any moment. The next one goes on with the rings: the guest has an answer to
// each request, once, in the order that it may rely on and without an error; every byte is what was written last; the
// whole disk is read back in the end. Real processes and files, Xen's rings (simulated) and local ones, also both of
// one disk. BLKTAP_RECOVERY_KILLS=N: at least so many deaths instead. BLKTAP_SEED=N: other ones;
// BLKTAP_SCENE=N: begins with that one.
#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "tests/crash/mortal/companion.hpp"
#include "tests/crash/mortal/director.hpp"
#include "tests/replay/load/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t half_sectors = (16ULL << 20) / sector_size_bytes;
constexpr int only_leaks = 3;  // of tap-ctl image check
const std::string tap_ctl = BLKTAP_BIN_DIR "/tap-ctl";
/// From here on each store must have been hit.
constexpr std::uint64_t many_deaths = 3000;

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// Load that goes on over deaths. Kills a tapdisk that lives too long, or whose fate it is to be killed from outside;
/// some of them paused.
class DeadlyLoad final : public replay::Traffic {
  public:
    DeadlyLoad(replay::MixedTraffic& load, MortalTapdisk& tapdisk, Director& director, const Clock& clock)
        : load_(load), tapdisk_(tapdisk), director_(director), clock_(clock) {
        plan(clock.now());
    }

    Next next(replay::Slot& slot, Nanoseconds now) override {
        tapdisk_.do_what_is_due(now);
        return load_.next(slot, now);
    }
    void completed(replay::Slot& slot, ring::Status status) override {
        load_.completed(slot, status);
        ++answered_;
        const auto gap = tapdisk_.deaths().take_gap(clock_);
        if (!gap) return;
        if (!std::exchange(was_paused_, false)) gaps_.push_back(*gap);
        plan(clock_.now());
    }
    void stop() noexcept override { load_.stop(); }

    std::uint64_t answered() const noexcept { return answered_; }
    unsigned pauses() const noexcept { return pauses_; }
    /// From deaths to the first answer of the next tapdisk.
    const std::vector<Nanoseconds>& gaps() const noexcept { return gaps_; }

  private:
    void plan(Nanoseconds now) {
        if (director_.over()) return load_.stop();
        const Fate& fate = tapdisk_.fate();
        const bool from_outside = fate.store.empty() && !fate.after;
        const bool paused = from_outside && director_.random().below(4) == 0;
        const Nanoseconds life =
            from_outside ? std::chrono::microseconds(200 + director_.random().below(12'000)) : 50ms;
        tapdisk_.at(now + life, [this, paused] { paused ? end_paused() : tapdisk_.kill(); });
    }
    void end_paused() {
        ++pauses_;
        was_paused_ = true;
        tapdisk_.die_paused();
        REQUIRE(tapdisk_.stats().at("state") == "paused");
        tapdisk_.resume();
    }

    replay::MixedTraffic& load_;
    MortalTapdisk& tapdisk_;
    Director& director_;
    const Clock& clock_;
    bool was_paused_ = false;
    unsigned pauses_ = 0;
    std::uint64_t answered_ = 0;
    std::vector<Nanoseconds> gaps_;
};

enum class Rings { copied, persistent, local, both };

struct Scene {
    const char* format;
    Rings kind;
    unsigned queue_count;
    unsigned ring_order;

    unsigned depth() const { return ring_order == 0 ? 16 : 48; }
    std::string name() const {
        static constexpr const char* kinds[] = {"Xen, copied", "Xen, persistent", "local", "Xen and local"};
        return std::string(format) + ", " + kinds[static_cast<int>(kind)] + ", queues " + std::to_string(queue_count) +
               ", order " + std::to_string(ring_order);
    }
    replay::FrontendOptions frontend() const {
        replay::FrontendOptions options;
        options.domain = 5;
        options.queue_count = queue_count;
        options.ring_order = ring_order;
        options.local = kind == Rings::local;
        options.persistent = kind == Rings::persistent;
        return options;
    }
};

std::vector<Scene> all_scenes() {
    std::vector<Scene> scenes;
    for (const unsigned order : {0u, 4u})
        for (const unsigned queues : {1u, 4u})
            for (const Rings kind : {Rings::copied, Rings::persistent, Rings::local, Rings::both})
                for (const char* const format : {"raw", "qcow2", "vhd"})
                    scenes.push_back({format, kind, queues, order});
    return scenes;
}

struct Outcome {
    std::uint64_t deaths = 0;
    std::map<std::string, unsigned> deaths_of{};
    std::uint64_t answered = 0;
    std::uint64_t adopted = 0;
    std::uint64_t pauses = 0;
    std::vector<Nanoseconds> gaps{};

    void add(const MortalTapdisk& tapdisk) {
        for (const auto& [cause, count] : tapdisk.deaths().by_cause())
            deaths_of[cause] += count;
        deaths += tapdisk.deaths().count();
        adopted += tapdisk.adopted();
    }
    std::string report();
};

double milliseconds(Nanoseconds time) {
    return static_cast<double>(time.count()) / 1e6;
}

std::string Outcome::report() {
    std::ostringstream text;
    std::ranges::sort(gaps);
    text << deaths << " deaths, " << pauses << " of them paused; " << answered << " requests answered; " << adopted
         << " requests of dead ones were taken over\nfrom a death to the next answer: median "
         << milliseconds(gaps[gaps.size() / 2]) << " ms, worst " << milliseconds(gaps.back()) << " ms\n"
         << "killed from outside " << deaths_of[""] << ", some time after the start " << deaths_of["time"]
         << ", at a named store:";
    for (const mortal::NamedStore& store : mortal::named_stores)
        text << "\n  " << store.name << ' ' << deaths_of[store.name];
    return text.str();
}

void read_back(replay::Pump& pump, const replay::DiskModel& model) {
    replay::ReadBackTraffic traffic(model, replay::MixedTraffic::block_sectors, false);
    replay::Statistics statistics;
    REQUIRE(pump.run(traffic, statistics));
}

void play(const Scene& scene, std::uint64_t seed, unsigned deaths, const std::string& fault, Outcome& result) {
    const fakexen::World world;
    const fakexen::ActAs guest{5};
    // Beside the programs: /tmp may be a file system that cannot do direct I/O.
    const TemporaryDirectory directory{BLKTAP_BIN_DIR};
    const bool is_raw = std::string(scene.format) == "raw";
    const std::string image =
        is_raw ? directory.make_file("image", 2 * half_sectors * sector_size_bytes) : directory.path("image");
    const std::string spec = std::string(scene.format) + ":" + image;
    const std::string said = directory.path("said");
    if (!is_raw) REQUIRE(run({tap_ctl, "image", "create", spec, "--size", "32M"}, {.output = said}, 60s) == 0);
    const MonotonicClock clock;
    Director director(seed, scene.queue_count, deaths);
    MortalTapdisk tapdisk(world, directory,
                          {.image = {scene.format, image, false, {}, false},
                           .next_fate = [&director](const std::string& died_at) { return director.next(died_at); },
                           .fault = fault});
    {
        MortalTapdisk::Link& link = tapdisk.link("");
        replay::Session session(link, scene.frontend());
        link.serves(session.frontend());
        const Nanoseconds timeout = fault.empty() ? Nanoseconds(20s) : Nanoseconds(5s);
        const replay::PumpOptions options{
            .depth = scene.depth(), .pages_per_slot = replay::MixedTraffic::large_blocks, .timeout = timeout};
        replay::Pump pump(session, clock, options);
        replay::DiskModel model{{0, half_sectors}, seed};
        replay::MixedTraffic load(model, scene.queue_count, session.device().discard, seed);
        std::optional<Companion> companion;
        if (scene.kind == Rings::both) {
            companion.emplace(tapdisk, scene.frontend(), options, SectorRange{half_sectors, half_sectors}, seed + 1);
        }
        director.connected();
        DeadlyLoad traffic(load, tapdisk, director, clock);
        replay::Statistics statistics;
        try {
            REQUIRE(pump.run(traffic, statistics));
            if (companion) companion->finish();
        } catch (const replay::Failure& failure) {
            throw replay::Failure(failure.what() + ("\n" + tapdisk.describe()));
        }
        read_back(pump, model);
        if (companion) read_back(pump, companion->model());
        companion.reset();
        session.disconnect();
        result.answered += traffic.answered();
        result.pauses += traffic.pauses();
        result.gaps.insert(result.gaps.end(), traffic.gaps().begin(), traffic.gaps().end());
    }
    result.add(tapdisk);
    CHECK(tapdisk.end() == 0);
    INFO(tapdisk.output());
    if (is_raw) return;
    const int status = run({tap_ctl, "image", "check", spec}, {.output = said}, 60s);
    INFO(read_file(said));
    CHECK(status % only_leaks == 0);
}

}  // namespace

TEST_CASE("recovery: a tapdisk that dies under load, again and again, is seen as a pause", "[crash]") {
    const std::vector<Scene> scenes = all_scenes();
    const std::uint64_t wanted = number_of("BLKTAP_RECOVERY_KILLS", 300);
    const std::uint64_t seed = number_of("BLKTAP_SEED", 20'061'126);
    const auto deaths = static_cast<unsigned>(std::clamp<std::uint64_t>(wanted / scenes.size(), 1, 25));
    const char* const fault = std::getenv(mortal::fault_variable);
    INFO("seed " << seed);
    Outcome result;
    for (std::uint64_t number = number_of("BLKTAP_SCENE", 0); result.deaths < wanted; ++number) {
        const Scene& scene = scenes[number % scenes.size()];
        INFO("scene " << number << ": " << scene.name());
        play(scene, seed + 1000 * number, deaths, fault == nullptr ? "" : fault, result);
    }
    WARN(result.report());
    CHECK(result.adopted > result.deaths);
    if (result.deaths < many_deaths) return;
    for (const mortal::NamedStore& store : mortal::named_stores) {
        INFO(store.name);
        CHECK(result.deaths_of[store.name] > 0);
    }
}

TEST_CASE("recovery: the tapdisk that ships knows no named store and no planted fault", "[crash]") {
    const std::string ships = read_file(BLKTAP_BIN_DIR "/tapdisk");
    const std::string mortal_one = read_file(BLKTAP_TESTS_DIR "/mortal_tapdisk");
    REQUIRE_FALSE(ships.empty());
    std::vector<std::string> names{mortal::die_at_variable, mortal::die_after_variable, mortal::fault_variable,
                                   mortal::bad_storage_variable};
    for (const mortal::NamedStore& store : mortal::named_stores)
        names.emplace_back(store.name);
    names.insert(names.end(), mortal::faults.begin(), mortal::faults.end());
    for (const std::string& name : names) {
        INFO(name);
        CHECK(mortal_one.find(name) != std::string::npos);
        CHECK(ships.find(name) == std::string::npos);
    }
}
