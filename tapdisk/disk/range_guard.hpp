// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeGuard: keeps the order of overlapping requests where order matters. Ordinary reads and writes claim their range
// shared and never wait for each other, as on any disk; a discard or a read-modify-write claims it exclusively and
// runs alone on it. A write that waits for space is ordered: later writes to its range wait for it, or it would one day
// go over them; reads pass.
//
// Two lines (RangeQueue): in the first an exclusive claim waits for those who share its range, and they for it; in the
// second, which writes enter when they are through the first, writes wait for ordered ones. In a line a claim waits for
// every earlier one that overlaps it and waits there, even where the two alone would not conflict: that is what bounds
// the work. So claims that wait and overlap are granted in the order in which they came. Nobody who holds a claim
// waits, and those who wait do so for earlier ones only: nobody starves and nothing deadlocks.
//
// A claim costs O(log n) steps over its whole life, n being the claims there are, whatever ranges a guest chooses: see
// RangeQueue. While nobody is ordered or exclusive it costs a list insertion: shared claims are noted in the trees only
// when the first exclusive one comes after them. Claims are embedded in request slots; nothing is allocated.
//
// Tested by tests/unit/tapdisk/range_guard_test.cpp.
#pragma once

#include <cstdint>

#include <boost/intrusive/list.hpp>

#include "libblktap/base/units.hpp"
#include "tapdisk/disk/range_queue.hpp"

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

      private:
        friend class RangeGuard;
        bool in_second_line = false;
        RangeQueue::Holder sharing{};   ///< in the first line; only where an exclusive claim may ask
        RangeQueue::Holder ordering{};  ///< in the second
        RangeQueue::Place place{};      ///< in one line at a time
    };

    /// Claims `range`. Returns true when the claim holds at once, false when it waits for an earlier one; release() of
    /// that one hands it to its callback. Until released the claim is linked here.
    bool acquire(Claim& claim, SectorRange range, Mode mode) noexcept;

    /// acquire() of `range` would wait. For rare moments: it looks at more than acquire() does.
    bool would_wait(SectorRange range, Mode mode) noexcept;
    /// Claims again, after clear(), what was held: claims that were held together may be again. No write is ordered
    /// then.
    void hold_again(Claim& claim) noexcept;

    /// Ends a claim that is held, and calls `granted(Claim&)` for each waiting claim that holds now, of those that
    /// overlap the earlier one first. `granted` must not acquire or release.
    template <class Granted>
    void release(Claim& claim, Granted granted) noexcept {
        if (forget_recent(claim)) return;
        end(claim);
        while (Claim* const next = next_granted())
            granted(*next);
    }

    /// Makes a claim for a write that holds one that later writes wait for. No effect on an exclusive one.
    void order(Claim& claim) noexcept;

    /// Ends all claims, held and waiting; nobody is granted anything.
    void clear() noexcept;

    bool empty() const noexcept { return recent_.empty() && others_.empty(); }
    /// What was looked at since the beginning, for tests of the bound above.
    std::uint64_t steps() const noexcept { return exclusives_.steps() + orders_.steps(); }

  private:
    using ClaimList = boost::intrusive::list<Claim, boost::intrusive::constant_time_size<false>>;
    static Claim& claim_of(RangeQueue::Place& place) noexcept;

    bool acquire_among_others(Claim& claim) noexcept;
    void note_recent() noexcept;
    bool pass_orders(Claim& claim) noexcept;
    bool forget_recent(Claim& claim) noexcept;
    void end(Claim& claim) noexcept;
    Claim* next_granted() noexcept;

    ClaimList recent_;       ///< shared ones that are held, and that no line knows
    ClaimList others_;       ///< all others
    RangeQueue exclusives_;  ///< the first line; held: by shared claims
    RangeQueue orders_;      ///< the second line; held: by ordered writes
};

}  // namespace blktap
