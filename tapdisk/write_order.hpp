// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WriteOrder: what a barrier and a failed flush do to the order of requests, over all queues.
//
// A barrier (WRITE_BARRIER, of old frontends) waits until everything consumed before it is finished, and what changes
// the disk and was consumed after it waits for the barrier; reads and flushes pass. That a read passes even where it
// overlaps the barrier's own data is what blkif says (io/blkif.h orders writes only), what Linux's blkback does, and
// what any disk does with a read and a write under way together: who wants the new data waits for the answer.
// A flush never waits: it covers the writes that were answered before it was consumed, and those are complete.
//
// Tested by tests/unit/tapdisk/write_order_test.cpp and overlap_test.cpp.
#pragma once

#include <cstdint>

#include "tapdisk/request_slot.hpp"

namespace blktap {

class WriteOrder {
  public:
    /// A request that must keep its place was consumed. True: it may go on now. False: it is kept here.
    /// `live` holds all unfinished requests, this one included, in order of consumption.
    bool admit(RequestSlot& slot, const LiveList& live) noexcept;

    /// A request finished (already out of `live`). Calls `go_on(RequestSlot&)` for those that it was holding back.
    template <class GoOn>
    void finished(const RequestSlot& slot, const LiveList& live, GoOn go_on) noexcept {
        if (barrier_ == nullptr) return;
        if (barrier_ == &slot) {
            barrier_ = nullptr;
            while (!behind_.empty() && barrier_ == nullptr) {
                RequestSlot& next = behind_.front();
                behind_.pop_front();
                if (start_or_wait(next, live)) go_on(next);
            }
        } else if (slot.sequence < barrier_->sequence && --unfinished_before_ == 0) {
            go_on(*barrier_);
        }
    }

    /// The barrier that waits for earlier requests; null when there is none or it is being served.
    bool holding() const noexcept { return barrier_ != nullptr; }
    /// Takes out, for the end of a connection, what waits here; calls `take(RequestSlot&)` for each.
    template <class Take>
    void abandon(Take take) noexcept {
        if (barrier_ != nullptr && unfinished_before_ > 0) {
            RequestSlot& waiting = *barrier_;
            barrier_ = nullptr;
            take(waiting);
        }
        behind_.clear_and_dispose([&](RequestSlot* slot) { take(*slot); });
    }

  private:
    bool start_or_wait(RequestSlot& slot, const LiveList& live) noexcept;

    RequestSlot* barrier_ = nullptr;       ///< from its consumption to its end
    std::uint64_t unfinished_before_ = 0;  ///< requests it waits for
    StageList behind_;                     ///< consumed after it, in order
};

}  // namespace blktap
