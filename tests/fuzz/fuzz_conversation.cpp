// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the conversation of a guest with a tapdisk: the bytes choose what guest, disk, operator and time do
// (tests/property/engine_traffic.hpp). The process lives, each request is answered at most once under its own id and
// operation, data is right and the recovery log agrees. The first two bytes choose the shape of the frontend.
//
// One machine serves all inputs, one frontend each: a simulated machine costs more than a conversation.
#include <cstddef>
#include <cstdint>

#include "libblktap/base/assert.hpp"
#include "tests/property/engine_traffic.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

namespace blktap::testing {
namespace {

class FuzzedDisk final : public TrafficDisk {
  public:
    explicit FuzzedDisk(StubDisk& disk) : disk_(disk) {}

    void choose_faults(unsigned level) override {
        level_ = level;
        disk_.automatic = false;
    }
    void complete_some(ByteScript& script) override {
        for (std::uint64_t count = script.below(8); count > 0 && disk_.count() > 0; --count) {
            const std::size_t index = script.below(disk_.count());
            disk_.complete(index, draw_error(script, disk_.letter(index)));
        }
    }
    void calm_down() override {
        disk_.automatic = true;
        disk_.complete_all();
    }
    std::vector<std::byte> bytes(SectorRange range) const override { return disk_.bytes(range); }

  private:
    int draw_error(ByteScript& script, char kind) const {
        if (level_ >= 2 && script.one_in(16)) return EIO;
        if (level_ >= 3 && kind != 'R' && script.one_in(4)) return ENOSPC;
        return 0;
    }

    StubDisk& disk_;
    unsigned level_ = 0;
};

struct Machine {
    Machine() { disk.automatic = true; }

    VbdHarness::Options options() {
        disk.info.size_sectors = EngineTraffic::disk_sectors;
        VbdHarness::Options options = disk.options();
        options.connect = false;
        return options;
    }
    /// A frontend of the shape that `shape` means, connected.
    void connect(std::uint8_t shape, std::uint8_t blocks) {
        disk.info.write_alignment_bytes = 512u << blocks % 4;
        machine.vbd().accept_loss();
        BLKTAP_ASSERT(!machine.pause());
        machine.resume();
        replay::FrontendOptions frontend;
        frontend.queue_count = 1 + shape % 4;
        frontend.persistent = (shape & 4) != 0;
        frontend.protocol = (shape & 8) != 0 ? ring::Protocol::x86_32 : ring::Protocol::native;
        frontend.ring_order = (shape & 16) != 0 ? 1 : 0;
        machine.make_frontend(frontend);
        machine.connect();
    }
    void disconnect() {
        BLKTAP_ASSERT(!machine.disconnect());
        BLKTAP_ASSERT(machine.world().pages_mapped_by(0) == 0 && machine.world().ports_of(0) == 0);
    }

    StubDisk disk;
    VbdHarness machine{options()};
    TrafficMemory memory{machine};
    EngineOracle oracle{EngineTraffic::disk_sectors};
};

}  // namespace
}  // namespace blktap::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace blktap::testing;
    static Machine machine;
    ByteScript script{{data, size}};
    const std::uint8_t shape = script.byte();
    machine.connect(shape, script.byte());
    FuzzedDisk disk{machine.disk};
    EngineTraffic{machine.machine, disk, machine.memory, machine.oracle}.run(script);
    machine.disconnect();
    return 0;
}
