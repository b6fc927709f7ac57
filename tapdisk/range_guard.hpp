// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeGuard: keeps the order of overlapping requests where order matters. Ordinary reads and writes claim their range
// shared and never wait for each other, as on any disk; a discard or a read-modify-write claims it exclusively and
// runs alone on it. A write that waits for space is ordered: later writes to its range wait for it, or it would one day
// go over them; reads pass. A claim that must wait waits only for earlier ones, so nobody starves and nothing
// deadlocks.
//
// Claims are embedded in request slots; nothing is allocated. While nobody is ordered or exclusive a claim costs a list
// insertion; otherwise it is compared with every live claim, at most a ring's worth.
//
// Tested by tests/unit/tapdisk/range_guard_test.cpp.
#pragma once

#include <cstdint>

#include <boost/intrusive/list.hpp>

#include "libblktap/base/units.hpp"

namespace blktap {

class RangeGuard {
  public:
    enum class Mode : std::uint8_t {
        shared,         ///< a read
        shared_write,   ///< a write, which no other waits for
        ordered_write,  ///< a write that later ones wait for
        exclusive,
    };

    struct Claim : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
        SectorRange range{};
        Mode mode = Mode::shared;
        bool waiting = false;
    };

    /// Claims `range`. Returns true when the claim holds at once, false when it waits for an earlier one; release() of
    /// that one hands it to its callback. Until released the claim is linked here.
    bool acquire(Claim& claim, SectorRange range, Mode mode) noexcept;

    /// Ends a claim, held or waiting, and calls `granted(Claim&)` for each waiting claim that holds now, in the order
    /// in which they came. `granted` must not acquire or release.
    template <class Granted>
    void release(Claim& claim, Granted granted) noexcept {
        if (!unlink(claim)) return;
        for (auto it = claims_.begin(); it != claims_.end(); ++it) {
            // Only what conflicts with `claim` can have waited for it: a guest with thousands that wait for something
            // else must not make each end of a request look at all of them.
            if (it->waiting && conflict(*it, claim) && !conflicts_with_earlier(*it)) {
                it->waiting = false;
                --waiting_count_;
                granted(*it);
            }
        }
    }

    /// Makes a claim for a write that holds one that later writes wait for. No effect on an exclusive one.
    void order(Claim& claim) noexcept;

    bool empty() const noexcept { return claims_.empty(); }

  private:
    using ClaimList = boost::intrusive::list<Claim>;
    static bool follows(Mode later, Mode earlier) noexcept;
    static bool conflict(const Claim& later, const Claim& earlier) noexcept {
        return follows(later.mode, earlier.mode) && earlier.range.overlaps(later.range);
    }
    bool conflicts_with_earlier(const Claim& claim) const noexcept;
    /// Removes a claim, which keeps its range and mode; true when another one may have waited for it.
    bool unlink(Claim& claim) noexcept;

    ClaimList claims_;                ///< held and waiting, in order of arrival
    std::size_t ordering_count_ = 0;  ///< ordered or exclusive
    std::size_t waiting_count_ = 0;
};

}  // namespace blktap
