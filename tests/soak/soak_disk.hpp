// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SoakDisk: one disk through many lives: it gets an image, is attached, has guests while this and that is done to it,
// is detached and checked, and begins again, with the same image or a new one.
#pragma once

#include <thread>

#include "tests/soak/disk_state.hpp"

namespace blktap::soak {

class SoakDisk {
  public:
    /// Begins, on a thread of its own. `ground` must outlive this.
    SoakDisk(Ground& ground, const DiskPlan& plan);
    SoakDisk(const SoakDisk&) = delete;
    SoakDisk& operator=(const SoakDisk&) = delete;
    /// Waits for its end: `ground.over` brings it about.
    ~SoakDisk();

  private:
    void run();
    void begin_image();
    void live();
    void attach();
    void be_served();
    void come_again();
    void leave();
    void leave_asked();
    void leave_crashed();
    void check_image();

    DiskState disk_;
    std::thread thread_{};
};

}  // namespace blktap::soak
