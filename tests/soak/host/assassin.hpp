// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Assassin: kills tapdisks whatever their disks are doing: in the middle of a pause, a snapshot, an attach.
// Now and then one after the other, so that many die while they go on for another one, or have only just begun to
// serve.
#pragma once

#include "tests/soak/ground.hpp"

namespace blktap::soak {

class Assassin {
  public:
    /// `ground` must outlive this.
    Assassin(Ground& ground, std::uint64_t seed) : ground_(ground), random_(seed) {}
    /// Does what is due. Context: one thread.
    void turn(Nanoseconds now);

  private:
    Ground& ground_;
    replay::Random random_;
    Nanoseconds kill_at_{0};
    Nanoseconds storm_until_{0};
};

}  // namespace blktap::soak
