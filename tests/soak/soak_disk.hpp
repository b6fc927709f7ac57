// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SoakDisk: one disk through many lives: it gets an image, is plugged, has a guest while this and that is done to it,
// is unplugged and checked, and begins again, with the same image or a new one.
#pragma once

#include <thread>

#include "tests/soak/disk_operator.hpp"
#include "tests/soak/guest.hpp"

namespace blktap::soak {

struct DiskPlan {
    unsigned number = 0;
    ipc::VbdArguments vbd{};
    std::string frontend{};
    Place place = Place::roomy;
    unsigned hanging = 0;  ///< number of its hanging place
    bool local = false;    ///< its guest has local rings
    std::uint64_t seed = 1;
};

class SoakDisk {
  public:
    /// Begins, on a thread of its own. `ground` must outlive this.
    SoakDisk(Ground& ground, DiskPlan plan);
    SoakDisk(const SoakDisk&) = delete;
    SoakDisk& operator=(const SoakDisk&) = delete;
    /// Waits for its end: `ground.over` brings it about.
    ~SoakDisk();

    const std::string& name() const noexcept { return name_; }

  private:
    void run();
    void begin_image();
    void live();
    void be_served();
    void act(const ActionRow& row);
    void leave();
    void check_image();
    void start_guest();
    void require_guest();
    void rest(unsigned milliseconds_max);

    // Actions.
    void move(void (Chain::*how)());
    void take_snapshot();
    void resize();
    void look();
    void kill_tapdisk();
    void kill_idle_tapdisk();

    Ground& ground_;
    const DiskPlan plan_;
    const std::string name_;
    replay::Random random_;
    Diary diary_{};
    DiskOperator operator_;
    std::optional<Chain> chain_{};
    std::optional<replay::DiskModel> model_{};
    std::uint64_t sectors_ = 0;
    std::optional<Guest> guest_{};
    std::thread thread_{};
};

}  // namespace blktap::soak
