// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RingDrain: drains the rings of a frontend that is leaving and may wait for requests that it has sent: until it sends
// no more, or for at most a few seconds.
//
// Tested by tests/unit/tapdisk/ring/drain_test.cpp.
#pragma once

#include <cstdint>

#include "libblktap/base/event_loop.hpp"
#include "tapdisk/ring/ring_client.hpp"

namespace blktap {

class RingDrain {
  public:
    /// A frontend that sends no request for this long while its rings are drained has sent its last one.
    static constexpr Nanoseconds quiet = std::chrono::milliseconds(200);
    /// The limit for a frontend that sends without end, so that its disk can be detached.
    static constexpr Nanoseconds at_most = std::chrono::seconds(3);

    /// Begins to drain. `fail`: each request is answered with an error. `loop` and `client` outlive the object.
    RingDrain(EventLoop& loop, RingClient& client, bool fail);
    RingDrain(const RingDrain&) = delete;
    RingDrain& operator=(const RingDrain&) = delete;

    /// Whether the frontend sends no more and its client is closed; requests that were taken may be unfinished.
    bool over() const noexcept { return !timer_.armed(); }

  private:
    void look();

    EventLoop& loop_;
    RingClient& client_;
    const Nanoseconds ends_;
    Nanoseconds quiet_since_;
    std::uint64_t taken_;  ///< the count of taken requests at the last look
    EventLoop::Timer timer_;
};

}  // namespace blktap
