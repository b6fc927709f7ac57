// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SoakTraffic: a load, judged as a guest would that never does anything wrong: no error is due, and no answer later
// than a minute. It ends when it is told to, and notes how long the guest had to wait.
#pragma once

#include <atomic>

#include "tests/replay/disk_model.hpp"
#include "tests/replay/load/random.hpp"
#include "tests/replay/load/traffic.hpp"
#include "tests/soak/tally.hpp"

namespace blktap::soak {

/// Thrown by the traffic of a guest that was told to crash.
struct Crash {};

/// What the owner of a guest tells it while it runs.
struct GuestOrders {
    std::atomic<bool> crash = false;  ///< end at once, and tell nobody
    std::atomic<bool> leave = false;
    std::atomic<bool> errors_due = false;            ///< its storage cannot flush
    std::atomic<bool> read_back = false;             ///< when it leaves
    std::atomic<std::uint64_t> sectors = 0;          ///< of the disk; it grows
    std::atomic<const char*> disturbance = nullptr;  ///< what is being done to the disk
};

/// Requests of a guest that stops at its owner's word, or `until` then. `model`, `orders` and `tally` must outlive
/// this.
class SoakTraffic final : public replay::Traffic {
  public:
    SoakTraffic(replay::Traffic& load, replay::DiskModel& model, const GuestOrders& orders, Tally& tally,
                Nanoseconds until)
        : load_(load), model_(model), orders_(orders), tally_(tally), until_(until) {}

    Next next(replay::Slot& slot, Nanoseconds now) override;
    void completed(replay::Slot& slot, ring::Status status) override;
    void stop() noexcept override { load_.stop(); }

    /// Its backend is gone, or it crashes: of what was under way nobody knows what became of it.
    void lost() noexcept;
    std::uint64_t bytes_read() const noexcept { return bytes_read_; }

  private:
    struct Flight {
        bool is_write = false;
        SectorRange range{};
        Nanoseconds began{0};
        bool may_fail = false;
    };
    Flight& flight_of(const replay::Slot& slot);
    void note_wait(Nanoseconds now);

    replay::Traffic& load_;
    replay::DiskModel& model_;
    const GuestOrders& orders_;
    Tally& tally_;
    const Nanoseconds until_;
    const MonotonicClock clock_{};
    std::vector<Flight> flights_{};  ///< by a slot's number
    unsigned in_flight_ = 0;
    Nanoseconds last_answer_{0};
    const char* disturbed_by_ = nullptr;
    std::uint64_t bytes_read_ = 0;
};

/// Discards some places, one after the other. What they read as afterwards is not defined.
class DiscardTraffic final : public replay::Traffic {
  public:
    DiscardTraffic(replay::DiskModel& model, std::uint64_t seed, unsigned count)
        : model_(model), random_(seed), left_(count) {}

    Next next(replay::Slot& slot, Nanoseconds now) override;
    void completed(replay::Slot& slot, ring::Status status) override;
    void stop() noexcept override { left_ = 0; }

  private:
    replay::DiskModel& model_;
    replay::Random random_;
    unsigned left_;
    SectorRange range_{};
    bool busy_ = false;
};

}  // namespace blktap::soak
