// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/parking.hpp"

#include <algorithm>

namespace blktap {

Lack Parking::lack_of(const DiskRequest& request, Retry retry) const noexcept {
    if (request.client->closing()) return Lack::nothing;
    if (retry == Retry::when_space) {
        // An empty flush never ends in an error: see hold().
        if (request.lack == Lack::nothing || !policy_.no_space_timeout || request.plain_flush()) return Lack::space;
        return clock_.now() - request.waits_since < *policy_.no_space_timeout ? Lack::space : Lack::nothing;
    }
    // Flushes never wait for health: the success of a second flush would prove nothing.
    const bool held = holds_errors() && request.image.kind != ImageRequest::Kind::flush;
    return held && retry == Retry::when_healthy ? Lack::health : Lack::nothing;
}

void Parking::park(DiskRequest& request, Lack lack) noexcept {
    ++times_parked_;
    if (request.lack == Lack::nothing) request.waits_since = clock_.now();
    health_.count(request.lack, lack);
    request.lack = lack;
    parked_.push_back(request);
}

/// An error for an empty flush makes a Linux frontend believe that there is no cache to flush, so it gets no answer.
void Parking::hold(DiskRequest& request) noexcept {
    forget(request);
    held_.push_back(request);
}

void Parking::forget(DiskRequest& request) noexcept {
    if (request.lack == Lack::nothing) return;
    health_.count(request.lack, Lack::nothing);
    request.lack = Lack::nothing;
}

Parking::Stranded Parking::stranded(const DiskClient& client) const noexcept {
    const auto count = [&client](const StageList& list) {
        const auto is_its = [&client](const DiskRequest& request) { return request.client == &client; };
        return static_cast<std::size_t>(std::ranges::count_if(list, is_its));
    };
    return {count(parked_), count(held_)};
}

}  // namespace blktap
