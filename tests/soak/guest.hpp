// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Guest: a guest of one disk, on a thread of its own: it connects, loads the disk and checks every byte, until it is
// told to leave, or asked to let the disk go. Its rings are a domain's, or local ones at the disk's tapdisk.
#pragma once

#include <functional>
#include <thread>

#include "tests/replay/frontend/connection.hpp"
#include "tests/replay/load/pump.hpp"
#include "tests/soak/soak_traffic.hpp"

namespace blktap::soak {

struct GuestPlan {
    xen::DomainId domain = 0;
    std::string frontend{};  ///< its directory in xenstore
    std::string tapdisk{};   ///< of local rings: the control socket; else empty
    std::uint64_t seed = 1;
    std::uint64_t sectors = 0;  ///< of the disk
    bool discard = true;
};

class Guest {
  public:
    enum class End {
        running,
        left,     ///< as it was told
        asked,    ///< the backend asked for the disk
        lost,     ///< its backend was gone, and it could not come back: only with local rings
        crashed,  ///< as it was told: its rings are as they were
        failed,   ///< something was wrong: failure()
    };

    /// Begins. `model` is the thread's until end(); it and `tally` must outlive this.
    Guest(const GuestPlan& plan, replay::DiskModel& model, Tally& tally);
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    /// Tells it to leave, and waits.
    ~Guest();

    GuestOrders& orders() noexcept { return orders_; }
    /// It has been answered at least once.
    bool is_served() const noexcept { return served_; }
    /// What it asks for from now on may be answered with an error, as it was told.
    bool expects_errors() const noexcept { return expects_errors_ || end_ != End::running; }
    bool expects_no_errors() const noexcept { return !expects_errors_ || end_ != End::running; }
    End state() const noexcept { return end_; }
    /// Waits until it has left.
    End wait();
    /// Meaningful when wait() has returned `failed`.
    const std::string& failure() const noexcept { return failure_; }

  private:
    void run();
    End live();
    End serve(replay::Session& session);
    bool load_once(replay::Pump& pump);
    bool play(replay::Pump& pump, replay::Traffic& traffic, const GuestOrders& orders,
              Nanoseconds until = Nanoseconds::max());
    bool mixed_load(replay::Pump& pump, Nanoseconds until);
    bool read_back(replay::Pump& pump);
    std::unique_ptr<replay::Connection> connection() const;
    replay::FrontendOptions rings();

    const GuestPlan plan_;
    replay::DiskModel& model_;
    Tally& tally_;
    replay::Random random_;
    unsigned queues_ = 1;
    GuestOrders orders_{};
    std::atomic<bool> served_ = false;
    std::atomic<bool> expects_errors_ = false;
    std::atomic<End> end_ = End::running;
    std::string failure_{};
    const MonotonicClock clock_{};
    std::thread thread_{};
};

}  // namespace blktap::soak
