// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/stages.hpp"

#include <algorithm>
#include <limits>

namespace blktap {

void Stages::begin_again(StageList& parked, std::span<DiskClient* const> clients) noexcept {
    for (DiskRequest& request : live_) {
        if (request.claim.is_linked() && request.claim.waiting) ordered.push_back(request);
    }
    const auto take_back = [this](StageList& list) {
        for (DiskRequest& request : list)
            request.client->take_memory_back(request);
        ordered.splice(ordered.end(), list);
    };
    for (StageList* list : {&ranged, &starting, &postponed, &parked})
        take_back(*list);
    for (DiskClient* client : clients)
        take_back(client->wanting_);
    // In the order of their sequence: a request that waited for a parked write must not overtake it.
    ordered.sort([](const DiskRequest& a, const DiskRequest& b) { return a.sequence < b.sequence; });
    ranges_.clear();  // every request that claimed a range is in `ordered` now
}

bool Stages::holds_back_closing() const noexcept {
    return order_.holds_back_closing() || std::ranges::any_of(live_, [](const DiskRequest& request) {
               return request.client->closing() && request.claim.is_linked() && request.claim.waiting;
           });
}

/// Gives the ranges to the parked requests alone, and lets the waiting requests claim theirs again, in order. One that
/// still waits then waits, in the end, for a parked one; if its client is leaving it goes into `stuck` instead. Returns
/// the sequence of the first request that is parked or still waits.
std::uint64_t Stages::take_stuck_in_ranges(StageList& parked, StageList& stuck) noexcept {
    StageList waiting;
    for (DiskRequest& request : live_) {
        if (request.claim.is_linked() && request.claim.waiting) waiting.push_back(request);
    }
    std::uint64_t first_blocked = std::numeric_limits<std::uint64_t>::max();
    StageList holding;
    for (auto next = parked.begin(); next != parked.end();) {
        DiskRequest& request = *next++;
        first_blocked = std::min(first_blocked, request.sequence);
        if (request.claim.is_linked()) holding.splice(holding.end(), parked, StageList::s_iterator_to(request));
    }

    ranges_.clear();
    for (DiskRequest& request : holding)
        ranges_.hold_again(request.claim);
    for (DiskRequest& request : holding)
        ranges_.order(request.claim);
    parked.splice(parked.end(), holding);
    while (!waiting.empty()) {
        DiskRequest& request = take_first(waiting);
        const RangeGuard::Claim& claim = request.claim;
        if (!ranges_.would_wait(claim.range, claim.mode)) {
            ordered.push_back(request);
        } else if (request.client->closing()) {
            stuck.push_back(request);
        } else {
            ranges_.acquire(request.claim, claim.range, claim.mode);
            first_blocked = std::min(first_blocked, request.sequence);
        }
    }
    return first_blocked;
}

}  // namespace blktap
