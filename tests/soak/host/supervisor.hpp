// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Supervisor: runs the tapback of a soak: kills it at random moments, starts the next, and watches that one life of it
// does not use more and more.
#pragma once

#include "tests/soak/ground.hpp"

namespace blktap::soak {

class Supervisor {
  public:
    /// All must outlive this. `disks`: how many tapback may need descriptors and memory for.
    Supervisor(control_test::ControlHost& host, Ground& ground, unsigned disks, std::uint64_t seed);
    /// Does what is due. Context: the thread that made it. Errors: throws Wrong: tapback ended by itself, does not
    /// start, or uses too much.
    void turn(Nanoseconds now);

  private:
    void replace();
    void freeze();
    void watch();
    void draw(Nanoseconds now);

    control_test::ControlHost& host_;
    Ground& ground_;
    const unsigned disks_;
    replay::Random random_;
    unsigned lives_ = 0;
    Nanoseconds kill_at_{0};
    Nanoseconds watch_at_{0};
};

}  // namespace blktap::soak
