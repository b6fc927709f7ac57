// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/range_guard.hpp"

#include <boost/intrusive/parent_from_member.hpp>

#include "libblktap/base/assert.hpp"

namespace blktap {

namespace {

bool is_ordinary(RangeGuard::Mode mode) noexcept {
    return mode <= RangeGuard::Mode::shared_write;
}

}  // namespace

RangeGuard::Claim& RangeGuard::claim_of(RangeQueue::Place& place) noexcept {
    return *boost::intrusive::get_parent_from_member(&place, &Claim::place);
}

bool RangeGuard::acquire(Claim& claim, SectorRange range, Mode mode) noexcept {
    BLKTAP_ASSERT(!claim.is_linked());
    claim.range = range;
    claim.mode = mode;
    if (is_ordinary(mode) && exclusives_.nobody_stands() && orders_.empty()) {
        recent_.push_back(claim);
        return true;
    }
    claim.waiting = !acquire_among_others(claim);
    return !claim.waiting;
}

bool RangeGuard::acquire_among_others(Claim& claim) noexcept {
    if (claim.mode == Mode::exclusive) {
        note_recent();
        others_.push_back(claim);
        return exclusives_.enter(claim.place, claim.range, true);
    }
    if (exclusives_.stands_in(claim.range)) {
        others_.push_back(claim);
        exclusives_.enter(claim.place, claim.range, false);
        return false;
    }
    recent_.push_back(claim);
    return pass_orders(claim);
}

bool RangeGuard::would_wait(SectorRange range, Mode mode) noexcept {
    if (exclusives_.stands_in(range)) return true;
    if (mode == Mode::exclusive) {
        note_recent();
        return exclusives_.held_in(range);
    }
    return mode != Mode::shared && (orders_.stands_in(range) || orders_.held_in(range));
}

void RangeGuard::hold_again(Claim& claim) noexcept {
    const bool ordered = claim.mode == Mode::ordered_write;
    const bool held = acquire(claim, claim.range, ordered ? Mode::shared_write : claim.mode);
    BLKTAP_ASSERT(held);
}

/// Enters all recent claims as holders in the first line.
void RangeGuard::note_recent() noexcept {
    for (Claim& claim : recent_)
        exclusives_.hold(claim.sharing, claim.range);
    others_.splice(others_.end(), recent_);
}

/// Enters a claim that has passed the first line into the second. Returns true if it has passed that one too.
bool RangeGuard::pass_orders(Claim& claim) noexcept {
    const bool orders = claim.mode == Mode::ordered_write;
    if (claim.mode == Mode::shared || (!orders && orders_.empty())) return true;
    claim.in_second_line = true;
    if (!orders_.enter(claim.place, claim.range, true)) return false;
    claim.in_second_line = false;
    orders_.leave(claim.place);
    if (orders) orders_.hold(claim.ordering, claim.range);
    return true;
}

void RangeGuard::order(Claim& claim) noexcept {
    BLKTAP_ASSERT(claim.is_linked() && !claim.waiting);
    if (claim.mode != Mode::shared_write) return;
    claim.mode = Mode::ordered_write;
    orders_.hold(claim.ordering, claim.range);
}

/// Ends a shared claim that is in no line. No claim waits for it: a later exclusive claim would have entered it as a
/// holder.
bool RangeGuard::forget_recent(Claim& claim) noexcept {
    BLKTAP_ASSERT(claim.is_linked() && !claim.waiting);
    if (!is_ordinary(claim.mode) || claim.sharing.holds) return false;
    recent_.erase(ClaimList::s_iterator_to(claim));
    return true;
}

void RangeGuard::end(Claim& claim) noexcept {
    if (claim.mode == Mode::exclusive) {
        exclusives_.leave(claim.place);
    } else if (claim.sharing.holds) {
        exclusives_.let_go(claim.sharing, claim.range);
    }
    if (claim.ordering.holds) orders_.let_go(claim.ordering, claim.range);
    // The lists keep no size, so either may unlink a claim of the other.
    others_.erase(ClaimList::s_iterator_to(claim));
}

/// Returns the next waiting claim that holds now; nullptr if there is none.
RangeGuard::Claim* RangeGuard::next_granted() noexcept {
    for (;;) {
        RangeQueue::Place* place = exclusives_.take_ready();
        if (place == nullptr) place = orders_.take_ready();
        if (place == nullptr) return nullptr;
        Claim& claim = claim_of(*place);
        if (claim.in_second_line) {
            claim.in_second_line = false;
            if (claim.mode == Mode::ordered_write) orders_.hold(claim.ordering, claim.range);
            orders_.leave(claim.place);
        } else if (claim.mode != Mode::exclusive) {
            // Hold before leaving the line: claims behind must count this one as a holder.
            exclusives_.hold(claim.sharing, claim.range);
            exclusives_.leave(claim.place);
            if (!pass_orders(claim)) continue;
        }
        claim.waiting = false;
        return &claim;
    }
}

void RangeGuard::clear() noexcept {
    exclusives_.clear();
    orders_.clear();
    for (Claim& claim : others_)
        claim.sharing.holds = claim.ordering.holds = claim.waiting = claim.in_second_line = false;
    for (Claim& claim : recent_)
        claim.ordering.holds = claim.waiting = claim.in_second_line = false;
    recent_.clear();
    others_.clear();
}

}  // namespace blktap
