// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ReconnectPace: limits how often one guest may reconnect. An offer is a transaction with xenstored; a connection maps
// and starts rings. A guest that closes and opens its disk without end would take all of tapback's time. Real reasons
// (firmware, a kernel, kexec, a driver that is loaded again) stay far below the limit.
//
// Tested by tests/unit/tapback/xenbus/reconnect_pace_test.cpp.
#pragma once

#include "libblktap/base/pace.hpp"

namespace blktap::tapback {

class ReconnectPace : public Pace {
  public:
    /// Steps that may follow each other at once. A connection takes two: the offer and the connect.
    static constexpr int burst = 20;
    /// The time that each step takes after a burst.
    static constexpr Nanoseconds interval = std::chrono::milliseconds(500);

    ReconnectPace() noexcept : Pace(burst, interval) {}
};

}  // namespace blktap::tapback
