// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ReconnectPace: how often one guest may make us begin again. An offer is a transaction with xenstored, a connection
// maps rings and starts them: a guest that closes and opens its disk without end would have all of tapback's time. A
// guest with a reason (firmware, a kernel, kexec, a driver that is loaded again) stays far below the limit.
//
// Tested by tests/unit/tapback/reconnect_pace_test.cpp.
#pragma once

#include "libblktap/base/pace.hpp"

namespace blktap::tapback {

class ReconnectPace : public Pace {
  public:
    /// Steps that may follow each other at once. Each connection is two: the offer, and the connecting.
    static constexpr int burst = 20;
    /// After a burst, one step in this time.
    static constexpr Nanoseconds interval = std::chrono::milliseconds(500);

    ReconnectPace() noexcept : Pace(burst, interval) {}
};

}  // namespace blktap::tapback
