// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/range_guard.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap {
namespace {

bool orders(RangeGuard::Mode mode) noexcept {
    return mode == RangeGuard::Mode::exclusive || mode == RangeGuard::Mode::ordered_write;
}

}  // namespace

bool RangeGuard::acquire(Claim& claim, SectorRange range, Mode mode) noexcept {
    BLKTAP_ASSERT(!claim.is_linked());
    claim.range = range;
    claim.mode = mode;
    claims_.push_back(claim);
    if (orders(mode)) ++ordering_count_;
    claim.waiting = ordering_count_ != 0 && conflicts_with_earlier(claim);
    if (claim.waiting) ++waiting_count_;
    return !claim.waiting;
}

bool RangeGuard::follows(Mode later, Mode earlier) noexcept {
    if (later == Mode::exclusive || earlier == Mode::exclusive) return true;
    return earlier == Mode::ordered_write && later != Mode::shared;
}

void RangeGuard::order(Claim& claim) noexcept {
    BLKTAP_ASSERT(claim.is_linked());
    if (claim.mode != Mode::shared_write) return;
    claim.mode = Mode::ordered_write;
    ++ordering_count_;
}

bool RangeGuard::conflicts_with_earlier(const Claim& claim) const noexcept {
    // Backwards: of many that wait for each other each meets its neighbour at once.
    for (auto it = ClaimList::s_iterator_to(claim); it != claims_.begin();) {
        if (conflict(claim, *--it)) return true;
    }
    return false;
}

bool RangeGuard::unlink(Claim& claim) noexcept {
    BLKTAP_ASSERT(claim.is_linked());
    claims_.erase(ClaimList::s_iterator_to(claim));
    if (orders(claim.mode)) --ordering_count_;
    if (claim.waiting) --waiting_count_;
    claim.waiting = false;
    return waiting_count_ != 0;
}

}  // namespace blktap
