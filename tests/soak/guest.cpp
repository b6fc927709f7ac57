// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/guest.hpp"

#include <algorithm>
#include <array>

#include "tests/fakexen/control.hpp"
#include "tests/replay/extent.hpp"
#include "tests/replay/failure.hpp"
#include "tests/replay/frontend/tapdisk_connection.hpp"
#include "tests/replay/frontend/xenstore_connection.hpp"
#include "tests/replay/load/load.hpp"
#include "tests/replay/load/mixed_traffic.hpp"
#include "tests/soak/host/tapback_calls.hpp"

namespace blktap::soak {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t pages_per_slot = 32;
constexpr unsigned depth = 12;
/// Parts of a sector's page, a page, and more than a direct request can carry.
constexpr std::array<std::uint64_t, 7> block_sizes{1, 3, 8, 8, 16, 88, 256};
constexpr std::uint64_t block_read_back = 128;

/// tapback offers a guest one for each processor.
unsigned queues_offered(bool local) {
    return local ? 3 : std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
}

/// A guest that crashes closes nothing.
class GuestConnection final : public replay::Connection {
  public:
    GuestConnection(const std::string& frontend, const std::atomic<bool>& crashed)
        : way_({.frontend = frontend}, patience, -1), crashed_(crashed) {}
    replay::FrontendOptions prepare(const replay::FrontendOptions& wishes) override { return way_.prepare(wishes); }
    replay::Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) override {
        return way_.connect(rings, descriptors);
    }
    void disconnect() override {
        if (!crashed_) way_.disconnect();
    }
    int fd() const noexcept override { return way_.fd(); }
    bool check() override { return way_.check(); }
    std::optional<pid_t> backend_pid() const override { return std::nullopt; }

  private:
    replay::XenstoreConnection way_;
    const std::atomic<bool>& crashed_;
};

}  // namespace

Guest::Guest(const GuestPlan& plan, replay::DiskModel& model, Tally& tally)
    : plan_(plan), model_(model), tally_(tally), random_(plan.seed) {
    orders_.sectors = plan.sectors;
    thread_ = std::thread([this] { run(); });
}

Guest::~Guest() {
    orders_.leave = true;
    if (thread_.joinable()) thread_.join();
}

Guest::End Guest::wait() {
    if (thread_.joinable()) thread_.join();
    return end_;
}

void Guest::run() {
    const fakexen::ActAs domain{plan_.domain};
    try {
        end_ = live();
    } catch (const std::exception& error) {
        failure_ = error.what();
        end_ = End::failed;
    }
}

std::unique_ptr<replay::Connection> Guest::connection() const {
    if (plan_.tapdisk.empty()) return std::make_unique<GuestConnection>(plan_.frontend, orders_.crash);
    try {
        return std::make_unique<replay::TapdiskConnection>(plan_.tapdisk, "soak", patience);
    } catch (const std::system_error& error) {
        const bool none =
            error.code() == std::errc::connection_refused || error.code() == std::errc::no_such_file_or_directory;
        if (none) throw replay::BackendGone(error.what());
        throw;
    }
}

replay::FrontendOptions Guest::rings() {
    replay::FrontendOptions rings;
    rings.domain = plan_.domain;
    rings.local = !plan_.tapdisk.empty();
    rings.queue_count = random_.below(2) == 0 ? 1 : queues_offered(rings.local);
    rings.ring_order = static_cast<unsigned>(random_.below(3));
    rings.persistent = !rings.local && random_.below(2) == 0;
    queues_ = rings.queue_count;
    return rings;
}

Guest::End Guest::live() {
    try {
        const auto way = connection();
        replay::Session session(*way, rings());
        if (session.device().size_sectors != plan_.sectors)
            throw replay::Failure("the disk has " + std::to_string(session.device().size_sectors) + " sectors, not " +
                                  std::to_string(plan_.sectors));
        const End end = serve(session);
        session.disconnect();
        return end;
    } catch (const replay::BackendGone&) {
        if (plan_.tapdisk.empty()) throw;
        return End::lost;
    } catch (const replay::NoImageYet&) {
        // The tapdisk that it was to connect to has just been killed, and this is its successor.
        if (plan_.tapdisk.empty()) throw;
        return End::lost;
    } catch (const Crash&) {
        return End::crashed;
    }
}

Guest::End Guest::serve(replay::Session& session) {
    replay::Pump pump(session, clock_, {.depth = depth, .pages_per_slot = pages_per_slot, .timeout = patience});
    while (!orders_.leave)
        if (!load_once(pump)) return End::asked;
    if (orders_.read_back && !read_back(pump)) return End::asked;
    return End::left;
}

/// False: asked to let the disk go.
bool Guest::load_once(replay::Pump& pump) {
    if (const std::uint64_t sectors = orders_.sectors; sectors > model_.range().count) model_.grow(sectors);
    const bool errors_due = orders_.errors_due;
    expects_errors_ = errors_due;
    const std::uint64_t chance = random_.below(12);
    if (chance == 0) return read_back(pump);
    if (chance == 1 && plan_.discard && !errors_due) {
        DiscardTraffic discards(model_, random_.next(), 1 + static_cast<unsigned>(random_.below(8)));
        replay::Statistics statistics;
        const bool done = pump.run(discards, statistics);
        tally_.answered(statistics);
        return done;
    }
    const Nanoseconds until = clock_.now() + 100ms + random_.below(900) * 1ms;
    if (chance >= 8 && !errors_due) return mixed_load(pump, until);
    const std::uint64_t block_sectors = block_sizes[random_.below(block_sizes.size())];
    const replay::GeneratorOptions options{.pattern = random_.below(4) == 0
                                                          ? replay::GeneratorOptions::Pattern::sequential
                                                          : replay::GeneratorOptions::Pattern::random,
                                           .read_percent = static_cast<unsigned>(10 + random_.below(70)),
                                           .flush_every = 1 + random_.below(60),
                                           .exclusive = true,
                                           .seed = random_.next()};
    const bool indirect = replay::segments_for(block_sectors).size() > ring::segments_direct_max;
    replay::LoadTraffic load(options, model_.range(), block_sectors, indirect, until, &model_);
    return play(pump, load, orders_);
}

/// Barriers between writes to the same place, in flight together.
bool Guest::mixed_load(replay::Pump& pump, Nanoseconds until) {
    // Which discards a disk takes changes with its image: they have a load of their own.
    replay::MixedTraffic load(model_, queues_, false, random_.next());
    return play(pump, load, orders_, until);
}

bool Guest::read_back(replay::Pump& pump) {
    tally_.did("read back whole");
    const bool odd = model_.range().count % block_read_back != 0;
    replay::ReadBackTraffic back(model_, odd ? sectors_per_page : block_read_back, !odd);
    const GuestOrders stay;
    return play(pump, back, orders_.leave ? stay : orders_);
}

bool Guest::play(replay::Pump& pump, replay::Traffic& traffic, const GuestOrders& orders, Nanoseconds until) {
    SoakTraffic judged(traffic, model_, orders, tally_, until);
    replay::Statistics statistics;
    bool done = false;
    try {
        done = pump.run(judged, statistics);
    } catch (const replay::BackendGone&) {
        judged.lost();
        throw;
    } catch (const Crash&) {
        judged.lost();
        throw;
    }
    tally_.answered(statistics);
    tally_.verified(judged.bytes_read());
    served_ = true;
    return done;
}

}  // namespace blktap::soak
