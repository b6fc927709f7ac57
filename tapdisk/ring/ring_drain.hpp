// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RingDrain: empties the rings of a frontend that is leaving and may have sent requests that it waits for: until it
// sends no more, or for at most a few seconds.
//
// Tested by tests/unit/tapdisk/drain_test.cpp.
#pragma once

#include <cstdint>

#include "libblktap/base/event_loop.hpp"
#include "tapdisk/ring/ring_client.hpp"

namespace blktap {

class RingDrain {
  public:
    /// A frontend that sends nothing for so long while its rings are emptied has sent its last.
    static constexpr Nanoseconds quiet = std::chrono::milliseconds(200);
    /// Of one that sends without end, so that it can be taken away.
    static constexpr Nanoseconds at_most = std::chrono::seconds(3);

    /// Begins. `fail`: each request is answered with an error. Both outlive the object.
    RingDrain(EventLoop& loop, RingClient& client, bool fail);
    RingDrain(const RingDrain&) = delete;
    RingDrain& operator=(const RingDrain&) = delete;

    /// The frontend sends no more, and its client is closed: what it has still is to be finished.
    bool over() const noexcept { return !timer_.armed(); }

  private:
    void look();

    EventLoop& loop_;
    RingClient& client_;
    const Nanoseconds ends_;
    Nanoseconds quiet_since_;
    std::uint64_t taken_;  ///< when it was looked at last
    EventLoop::Timer timer_;
};

}  // namespace blktap
