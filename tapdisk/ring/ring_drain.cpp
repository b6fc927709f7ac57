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

/// Whether the frontend has sent its last request.
void RingDrain::look() {
    const Nanoseconds now = loop_.clock().now();
    const std::uint64_t taken = client_.stats().taken;
    const bool nothing_new = client_.idle() && std::exchange(taken_, taken) == taken;
    if (!nothing_new) quiet_since_ = now;
    if (now - quiet_since_ >= quiet || now >= ends_) return client_.close();
    // A Linux frontend that is told to close stops its queues, and starts them again when it is notified: requests that
    // it had not sent yet would wait for ever, and whoever removes the device with them. When it is told nobody knows.
    client_.wake_frontend();
    timer_.arm(quiet / 2);
}

}  // namespace blktap
