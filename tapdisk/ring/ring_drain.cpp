// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/ring_drain.hpp"

#include <utility>

namespace blktap {

RingDrain::RingDrain(EventLoop& loop, RingClient& client, bool fail)
    : loop_(loop),
      client_(client),
      ends_(loop.clock().now() + at_most),
      quiet_since_(loop.clock().now()),
      taken_(client.stats().taken),
      timer_(loop, [this] { look(); }) {
    client_.drain(fail);
    look();
}

/// Checks whether the frontend has sent its last request, and closes the client then.
void RingDrain::look() {
    const Nanoseconds now = loop_.clock().now();
    const std::uint64_t taken = client_.stats().taken;
    const bool nothing_new = client_.idle() && std::exchange(taken_, taken) == taken;
    if (!nothing_new) quiet_since_ = now;
    if (now - quiet_since_ >= quiet || now >= ends_) return client_.close();
    // A Linux frontend that is told to close stops its queues, and starts them again when it is notified. Without a
    // notification its unsent requests, and the removal of the device, would wait for ever. The time at which it is
    // told to close is not known here, so it is notified repeatedly.
    client_.wake_frontend();
    timer_.arm(quiet / 2);
}

}  // namespace blktap
