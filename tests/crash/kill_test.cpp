// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapdisk is killed in the middle of allocation, a thousand times. Started again, it has every write that it had
// answered, and no data that was never written. A write that was under way when its tapdisk died may be there or not.
// Real processes, a real file, a simulated guest. BLKTAP_KILLS=N: N times instead.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "tests/fakexen/control.hpp"
#include "tests/replay/frontend/tapdisk_connection.hpp"
#include "tests/replay/load/load.hpp"
#include "tests/replay/load/pump.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t seed = 20'061'126;
constexpr std::uint64_t disk_sectors = (64ULL << 20) / sector_size_bytes;
constexpr std::uint64_t block_sectors = 8;
constexpr unsigned depth = 16;
/// So many kills, then the image is judged from outside and the next one begins with nothing allocated.
constexpr int kills_per_image = 20;
constexpr int only_leaks = 3;  // of qemu-img check

struct Layout {
    const char* name;
    const char* format;                 ///< ours
    std::vector<std::string> create{};  ///< qemu-img's options; none: tap-ctl makes it
    bool with_backing = false;
};

const std::vector<Layout> layouts{
    {"64 KiB clusters", "qcow2", {"-f", "qcow2"}},
    {"dynamic", "vhd"},
    {"4 KiB clusters, wide refcounts", "qcow2", {"-f", "qcow2", "-o", "cluster_size=4k,refcount_bits=64"}},
    {"an overlay", "qcow2", {"-f", "qcow2", "-F", "raw"}, true},
    {"differencing", "vhd", {}, true},
    {"subclusters", "qcow2", {"-f", "qcow2", "-o", "extended_l2=on"}},
    {"lazy refcounts", "qcow2", {"-f", "qcow2", "-o", "lazy_refcounts=on"}},
};

const std::string tap_ctl = BLKTAP_BIN_DIR "/tap-ctl";

int kills_wanted() {
    const char* const text = std::getenv("BLKTAP_KILLS");
    return text == nullptr ? 1000 : std::max(1, std::atoi(text));
}

/// Random writes and flushes, until it is time to kill the tapdisk: then that, and nothing more.
class DeadlyTraffic final : public replay::Traffic {
  public:
    DeadlyTraffic(replay::LoadTraffic& load, replay::DiskModel& model, pid_t victim, Nanoseconds when)
        : load_(load), model_(model), victim_(victim), when_(when) {}

    Next next(replay::Slot& slot, Nanoseconds now) override {
        if (now >= when_) {
            if (!killed_) testing::send_signal(victim_, SIGKILL);
            killed_ = true;
            return Next::later;
        }
        const Next next = load_.next(slot, now);
        if (next == Next::request && slot.work.operation == static_cast<std::uint8_t>(ring::Operation::write)) {
            under_way_.push_back({slot.work.sector, block_sectors});
        }
        return next;
    }
    void completed(replay::Slot& slot, ring::Status status) override {
        REQUIRE(status == ring::Status::okay);
        std::erase_if(under_way_, [&](const SectorRange& range) { return range.first == slot.work.sector; });
        load_.completed(slot, status);
        ++answered_;
    }
    Nanoseconds wake_at(Nanoseconds) const noexcept override { return when_; }
    void stop() noexcept override { load_.stop(); }

    /// Nobody will answer any more.
    void forget_what_was_under_way() {
        for (const SectorRange range : under_way_)
            model_.uncertain(range);
    }
    std::uint64_t answered() const noexcept { return answered_; }

  private:
    replay::LoadTraffic& load_;
    replay::DiskModel& model_;
    const pid_t victim_;
    const Nanoseconds when_;
    std::vector<SectorRange> under_way_;
    std::uint64_t answered_ = 0;
    bool killed_ = false;
};

class KillScene {
  public:
    explicit KillScene(const Layout& layout) : layout_(layout) {
        if (layout.create.empty()) {
            make_by_tap_ctl();
        } else {
            make_by_qemu();
        }
    }

    /// One life: reads back everything that was ever answered, then writes until it is killed.
    void live_and_die(std::uint64_t life) {
        start();
        replay::TapdiskConnection connection(socket_);
        replay::Session session(connection, {.domain = 5});
        replay::Pump pump(session, clock_, {.depth = depth});
        verify(pump);
        const Nanoseconds lifetime = std::chrono::microseconds(500 + life * 7919 % 15'000);
        replay::LoadTraffic load({.read_percent = 10, .flush_every = 50, .exclusive = true, .seed = seed + life},
                                 {0, disk_sectors}, block_sectors, false, Nanoseconds::max(), &model_);
        DeadlyTraffic traffic(load, model_, tapdisk_.pid(), clock_.now() + lifetime);
        replay::Statistics statistics;
        CHECK_THROWS_AS(pump.run(traffic, statistics), replay::BackendGone);
        traffic.forget_what_was_under_way();
        answered_ += traffic.answered();
        CHECK(tapdisk_.wait(20s) == 128 + SIGKILL);
    }

    /// What is left: all of it is read back once more, the end is an orderly one, and qemu-img finds nothing but space
    /// that allocations had taken when they were cut off.
    void judge() {
        start();
        {
            replay::TapdiskConnection connection(socket_);
            replay::Session session(connection, {.domain = 5});
            replay::Pump pump(session, clock_, {.depth = depth});
            verify(pump);
            session.disconnect();
        }
        tapdisk_.signal(SIGTERM);
        CHECK(tapdisk_.wait(20s) == 0);
        const int own_status = run({tap_ctl, "image", "check", spec(image_)}, {.output = log_}, 60s);
        INFO(read_file(log_));
        CHECK((own_status == 0 || own_status == only_leaks));
        if (std::string(layout_.format) != "qcow2") return;
        const int status = run_qemu_img({"check", "-q", image_});
        if (status == only_leaks) {
            CHECK(run_qemu_img({"check", "-q", "-r", "leaks", image_}) == 0);
            CHECK(run_qemu_img({"check", "-q", image_}) == 0);
        } else {
            CHECK(status == 0);
        }
    }
    std::uint64_t answered() const noexcept { return answered_; }

  private:
    std::string spec(const std::string& path) const { return std::string(layout_.format) + ":" + path; }
    void make_by_qemu() {
        std::vector<std::string> command{"create", "-q"};
        command.insert(command.end(), layout_.create.begin(), layout_.create.end());
        if (layout_.with_backing) {
            qemu_img({"create", "-q", "-f", "raw", base_, "64M"});
            command.insert(command.end(), {"-b", base_});
        }
        command.insert(command.end(), {image_, "64M"});
        qemu_img(command);
    }
    void make_by_tap_ctl() {
        std::vector<std::string> command{tap_ctl, "image", "create", spec(image_), "--size", "64M"};
        if (layout_.with_backing) {
            REQUIRE(run({tap_ctl, "image", "create", spec(base_), "--size", "64M"}, {}, 60s) == 0);
            command.insert(command.end(), {"--backing", spec(base_)});
        }
        REQUIRE(run(command, {}, 60s) == 0);
    }
    void start() {
        log_ = directory_.path("log" + std::to_string(++starts_));
        std::vector<std::string> environment = world_.environment(0);
        environment.emplace_back("LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so");
        tapdisk_ = Process({BLKTAP_BIN_DIR "/tapdisk", "--open", std::string(layout_.format) + ":" + image_,
                            "--control", socket_, "--recovery-log", directory_.path("recovery")},
                           {.environment = environment, .output = log_});
        REQUIRE(wait_until([&] { return read_file(log_).find("ready") != std::string::npos || !tapdisk_.running(); }));
        INFO(read_file(log_));
        REQUIRE(tapdisk_.running());
    }
    void verify(replay::Pump& pump) {
        replay::ReadBackTraffic read_back(model_, block_sectors, false);
        replay::Statistics statistics;
        REQUIRE(pump.run(read_back, statistics));
    }

    const Layout& layout_;
    fakexen::World world_;
    const fakexen::ActAs guest_{5};
    // Beside the programs: /tmp may be a file system that cannot do direct I/O.
    TemporaryDirectory directory_{BLKTAP_BIN_DIR};
    const std::string image_ = directory_.path("image");
    const std::string base_ = directory_.path("base");
    const std::string socket_ = directory_.path("control");
    const MonotonicClock clock_;
    replay::DiskModel model_{{0, disk_sectors}, seed};
    Process tapdisk_;
    std::string log_;
    int starts_ = 0;
    std::uint64_t answered_ = 0;
};

}  // namespace

TEST_CASE("kill: a tapdisk killed a thousand times loses nothing that it answered", "[crash]") {
    if (!qemu_img_available()) {
        WARN("qemu-img is missing: no images to kill a tapdisk on");
        return;
    }
    const int wanted = kills_wanted();
    int kills = 0;
    std::uint64_t answered = 0;
    for (std::size_t image = 0; kills < wanted; ++image) {
        const Layout& layout = layouts[image % layouts.size()];
        INFO(layout.format << ", " << layout.name);
        KillScene scene(layout);
        for (int i = 0; i < kills_per_image && kills < wanted; ++i, ++kills)
            scene.live_and_die(static_cast<std::uint64_t>(kills));
        scene.judge();
        answered += scene.answered();
    }
    WARN(kills << " kills, " << answered << " requests answered in between");
    CHECK(answered > static_cast<std::uint64_t>(wanted));
}
