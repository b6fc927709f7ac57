// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WriteOrder: what a barrier does to the order of requests, over all clients of a disk.
//
// A barrier (WRITE_BARRIER, of old frontends) waits until everything consumed before it is finished, and what changes
// the disk and was consumed after it waits for the barrier; reads and flushes pass. That a read passes even where it
// overlaps the barrier's own data is what blkif says (io/blkif.h orders writes only), what Linux's blkback does, and
// what any disk does with a read and a write under way together: who wants the new data waits for the answer.
// A flush never waits: it covers the writes that were answered before it was consumed, and those are complete.
//
// Tested by tests/unit/tapdisk/write_order_test.cpp and overlap_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "libblktap/base/assert.hpp"
#include "tapdisk/disk/disk_request.hpp"

namespace blktap {

class WriteOrder {
  public:
    /// A request that must keep its place was consumed. True: it may go on now. False: it is kept here.
    /// `live` holds all unfinished requests, this one included, in order of consumption.
    bool admit(DiskRequest& request, const LiveList& live) noexcept;

    /// A request finished (already out of `live`). Calls `go_on(DiskRequest&)` for those that it was holding back.
    template <class GoOn>
    void finished(const DiskRequest& request, const LiveList& live, GoOn go_on) noexcept {
        if (barrier_ == nullptr) return;
        if (barrier_ == &request) {
            barrier_ = nullptr;
            while (!behind_.empty() && barrier_ == nullptr) {
                DiskRequest& next = behind_.front();
                behind_.pop_front();
                if (start_or_wait(next, live)) go_on(next);
            }
        } else if (request.sequence < barrier_->sequence && --unfinished_before_ == 0) {
            go_on(*barrier_);
        }
    }

    /// The barrier that waits for earlier requests; null when there is none or it is being served.
    bool holding() const noexcept { return barrier_ != nullptr; }
    /// Somebody who is leaving waits here.
    bool holds_back_closing() const noexcept {
        if (barrier_ == nullptr) return false;
        if (barrier_->client->closing() && unfinished_before_ > 0) return true;
        return std::ranges::any_of(behind_, [](const DiskRequest& each) { return each.client->closing(); });
    }
    /// Takes out what waits here and `is_meant(const DiskRequest&)`; calls `take(DiskRequest&)` for each, which must
    /// call finished().
    template <class IsMeant, class Take>
    void abandon(IsMeant is_meant, Take take) noexcept {
        take_those(behind_, is_meant, take);
        if (barrier_ != nullptr && is_meant(*barrier_) && unfinished_before_ > 0) take(*barrier_);
    }
    /// abandon() of what clients that are leaving have behind `first_blocked`, the sequence of a request that will not
    /// end soon.
    template <class Take>
    void abandon_closing(std::uint64_t first_blocked, Take take) noexcept {
        const auto is_closing = [](const DiskRequest& request) { return request.client->closing(); };
        // After the end of one barrier the next may be such a one too.
        while (barrier_ != nullptr && first_blocked <= barrier_->sequence) {
            if (!is_closing(*barrier_)) return void(take_those(behind_, is_closing, take));
            BLKTAP_ASSERT(unfinished_before_ > 0);
            take(*barrier_);
        }
    }

  private:
    bool start_or_wait(DiskRequest& request, const LiveList& live) noexcept;

    DiskRequest* barrier_ = nullptr;       ///< from its consumption to its end
    std::uint64_t unfinished_before_ = 0;  ///< requests it waits for
    StageList behind_;                     ///< consumed after it, in order
};

}  // namespace blktap
