// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Random traffic over several queues of a guest, and often of a second guest or a program with local rings, against the
// raw driver. The kernel answers in any order, in parts, late or with errors; the file may have to grow, and is moved
// while requests wait. Every status, every byte read, the recovery log and the final image must be allowed for a disk.
//
// The seed is printed; BLKTAP_SEED=n runs that one again.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>

#include "tests/property/engine_traffic.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/model_disk.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr auto budget = std::chrono::seconds(3);
constexpr std::size_t script_bytes = 3000;  // some 400 requests

class SimulatedDisk final : public TrafficDisk {
  public:
    explicit SimulatedDisk(VbdHarness& machine) : machine_(machine) { machine_.kernel().hold(); }

    void choose_faults(unsigned level) override {
        SimAioKernel::Chances chances;
        if (level >= 1) {
            chances.submit_refused = chances.submit_partial = chances.result_short = chances.result_transient = 50;
        }
        if (level >= 2) chances.result_eio = 20;
        if (level >= 3) chances.write_enospc = 100;
        machine_.kernel().set_chances(chances);
    }
    void complete_some(ByteScript& script) override {
        for (std::uint64_t count = script.below(8); count > 0; --count)
            machine_.kernel().complete_any();
    }
    void calm_down() override {
        machine_.kernel().set_chances({});
        machine_.kernel().complete_at_submit();
        machine_.kernel().complete_all_shuffled();
    }
    std::vector<std::byte> bytes(SectorRange range) const override { return machine_.image_bytes(range); }

  private:
    VbdHarness& machine_;
};

std::uint64_t choose_seed() {
    const char* wanted = std::getenv("BLKTAP_SEED");
    return wanted != nullptr ? std::strtoull(wanted, nullptr, 0) : std::random_device{}();
}

void run(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    VbdHarness::Options options;
    options.size_sectors = EngineTraffic::disk_sectors;
    options.frontend.queue_count = 1 + static_cast<unsigned>(random() % 4);
    options.frontend.ring_order = static_cast<unsigned>(random() % 2);
    options.frontend.persistent = random() % 2 == 0;
    options.frontend.protocol = random() % 2 == 0 ? ring::Protocol::native : ring::Protocol::x86_32;
    if (random() % 2 == 0) options.file_sectors = random() % EngineTraffic::disk_sectors;
    if (random() % 2 == 0) options.image_options = "&on-error=hold";
    if (random() % 4 == 0) options.image_options += "&enospc-timeout=2";
    options.aio_slots = random() % 2 == 0 ? 4 : 48;
    options.seed = random();
    std::vector<std::uint8_t> script(random() % script_bytes);
    for (std::uint8_t& byte : script)
        byte = static_cast<std::uint8_t>(random());

    VbdHarness machine{options};
    SimulatedDisk disk{machine};
    TrafficMemory memory{machine};
    EngineOracle oracle{EngineTraffic::disk_sectors};
    EngineTraffic traffic{machine, disk, memory, oracle};
    std::optional<SecondPeer> peer;
    std::optional<TrafficMemory> peer_memory;
    if (const auto who = random() % 4; who > 0) {
        peer.emplace(machine, replay::FrontendOptions{.queue_count = 1 + static_cast<unsigned>(random() % 2),
                                                      .persistent = random() % 2 == 0,
                                                      .local = who > 1});
        traffic.add_peer(*peer, peer_memory.emplace(*peer));
    }
    traffic.run(ByteScript{script});
}

}  // namespace

TEST_CASE("engine oracle: only a write under way explains a sector in two halves", "[property][tapdisk]") {
    constexpr SectorRange sector{0, 1};
    EngineOracle oracle{1};
    const std::uint64_t stamp = oracle.new_stamp();
    std::array<std::byte, sector_size_bytes> data{};
    ModelDisk::fill(sector, stamp, data);
    std::fill(data.begin() + sector_size_bytes / 2, data.end(), std::byte{0});

    const EngineOracle::Write write = oracle.sent(sector, stamp);
    const std::uint64_t read_during_write = oracle.tick();
    CHECK(oracle.first_wrong(sector, data, read_during_write) == -1);
    oracle.answered(sector, write, true);
    CHECK(oracle.first_wrong(sector, data, read_during_write) == -1);
    CHECK(oracle.first_wrong(sector, data, oracle.tick()) == 0);

    const EngineOracle::Write other = oracle.sent(sector, oracle.new_stamp());
    std::fill(data.begin(), data.end(), std::byte{0xee});
    CHECK(oracle.first_wrong(sector, data, oracle.tick()) == 0);
    oracle.answered(sector, other, true);
}

TEST_CASE("engine: whatever the traffic and the kernel do, the disk is a disk",
          "[property][tapdisk][XSA-376][XSA-391][XSA-396][XSA-403][XSA-522]") {
    const bool replay = std::getenv("BLKTAP_SEED") != nullptr;
    const std::uint64_t first = choose_seed();
    std::cerr << "engine_model_test: first BLKTAP_SEED=" << first << std::endl;
    const auto end = std::chrono::steady_clock::now() + budget;
    std::uint64_t seed = first;
    do {
        INFO("BLKTAP_SEED=" << seed);
        REQUIRE_NOTHROW(run(seed));
        ++seed;
    } while (!replay && std::chrono::steady_clock::now() < end);
    std::cerr << "engine_model_test: " << seed - first << " runs" << std::endl;
}
