// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeGuard: keeps the order of overlapping requests where order matters. Ordinary reads and writes claim their range
// shared and never wait for each other, as on any disk; a discard or a read-modify-write claims its range exclusively
// and runs alone on it. A write that waits for space is ordered: later writes to its range wait for it, because it
// would otherwise overwrite them later; reads pass.
//
// There are two lines (RangeQueue). In the first an exclusive claim waits for shared claims that overlap it, and they
// wait for it. In the second, which writes enter after the first, writes wait for ordered writes. A claim also waits
// for every earlier claim that overlaps it and waits in the same line, even if the two do not conflict: that bounds the
// work. So waiting claims that overlap are granted in the order in which they came. A claim that is held never waits,
// and a waiting claim waits only for earlier ones: no claim starves, and there is no deadlock.
//
// A claim costs O(log n) steps over its whole life, n being the number of claims, whatever ranges a guest chooses: see
// RangeQueue. While there is no ordered or exclusive claim it costs one list insertion: shared claims enter the trees
// only when the first exclusive claim comes after them. Claims are embedded in request slots; nothing is allocated.
//
// Tested by tests/unit/tapdisk/disk/range_guard_test.cpp.
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
        shared_write,   ///< a write that no other write waits for
        ordered_write,  ///< a write that later overlapping writes wait for
        exclusive,
    };

    struct Claim : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
        SectorRange range{};
        Mode mode = Mode::shared;
        bool waiting = false;

      private:
        friend class RangeGuard;
        bool in_second_line = false;
        RangeQueue::Holder sharing{};   ///< in the first line; only once an exclusive claim has come
        RangeQueue::Holder ordering{};  ///< in the second line
        RangeQueue::Place place{};      ///< in one line at a time
    };

    /// Claims `range`. Returns true if the claim is held at once, false if it waits for an earlier one, whose release()
    /// passes it to the callback. The claim is linked here until it is released.
    bool acquire(Claim& claim, SectorRange range, Mode mode) noexcept;

    /// Whether acquire() of `range` would wait. For rare moments: it costs more than acquire().
    bool would_wait(SectorRange range, Mode mode) noexcept;
    /// Claims again, after clear(), a claim that was held: claims that were held together are all granted. An ordered
    /// write becomes a shared one.
    void hold_again(Claim& claim) noexcept;

    /// Ends a held claim, and calls `granted(Claim&)` for each waiting claim that is held now; of claims that overlap,
    /// the earlier one comes first. `granted` must not acquire or release.
    template <class Granted>
    void release(Claim& claim, Granted granted) noexcept {
        if (forget_recent(claim)) return;
        end(claim);
        while (Claim* const next = next_granted())
            granted(*next);
    }

    /// Turns the held claim of a write into an ordered one: later writes wait for it. No effect on an exclusive claim.
    void order(Claim& claim) noexcept;

    /// Ends all claims, held and waiting; none is granted.
    void clear() noexcept;

    bool empty() const noexcept { return recent_.empty() && others_.empty(); }
    /// Number of tree nodes and pieces visited so far, for tests of the bound above.
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

    ClaimList recent_;       ///< held shared claims that are in no line
    ClaimList others_;       ///< all other claims
    RangeQueue exclusives_;  ///< the first line; its holders are shared claims
    RangeQueue orders_;      ///< the second line; its holders are ordered writes
};

}  // namespace blktap
