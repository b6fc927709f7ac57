// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/range_guard.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap {

bool RangeGuard::acquire(Claim& claim, SectorRange range, Mode mode) noexcept {
    BLKTAP_ASSERT(!claim.is_linked());
    claim.range = range;
    claim.mode = mode;
    claims_.push_back(claim);
    if (mode == Mode::exclusive) ++exclusive_count_;
    claim.waiting = exclusive_count_ != 0 && conflicts_with_earlier(claim);
    if (claim.waiting) ++waiting_count_;
    return !claim.waiting;
}

bool RangeGuard::conflicts_with_earlier(const Claim& claim) const noexcept {
    for (const Claim& earlier : claims_) {
        if (&earlier == &claim) return false;
        const bool ordered = earlier.mode == Mode::exclusive || claim.mode == Mode::exclusive;
        if (ordered && earlier.range.overlaps(claim.range)) return true;
    }
    return false;
}

bool RangeGuard::unlink(Claim& claim) noexcept {
    BLKTAP_ASSERT(claim.is_linked());
    claims_.erase(ClaimList::s_iterator_to(claim));
    if (claim.mode == Mode::exclusive) --exclusive_count_;
    if (claim.waiting) --waiting_count_;
    claim.waiting = false;
    return waiting_count_ != 0;
}

}  // namespace blktap
