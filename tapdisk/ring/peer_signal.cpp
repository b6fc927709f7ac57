// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/peer_signal.hpp"

#include <unistd.h>

namespace blktap {

void PeerSignal::notify() noexcept {
    if (auto* const channel = std::get_if<xen::EventChannel>(&way_)) {
        channel->notify();
        return;
    }
    // A full pipe is readable, so its reader is awake already.
    const char wake = 0;
    [[maybe_unused]] const ssize_t written = ::write(std::get<UniqueFd>(way_).get(), &wake, 1);
}

}  // namespace blktap
