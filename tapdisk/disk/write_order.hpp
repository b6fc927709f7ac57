// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WriteOrder: how a barrier orders requests, over all clients of a disk.
//
// A barrier (WRITE_BARRIER, of old frontends) waits until all requests consumed before it are finished. Requests that
// change the disk and were consumed after it wait for the barrier; reads and flushes pass. A read may pass even if it
// overlaps the barrier's own data: blkif orders writes only (io/blkif.h), Linux's blkback does the same, and on any
// disk a reader that needs the new data waits for the answer to the write. A flush never waits: it covers the writes
// that were answered before it was consumed, and those are complete.
//
// Tested by tests/unit/tapdisk/disk/write_order_test.cpp and overlap_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "libblktap/base/assert.hpp"
#include "tapdisk/disk/disk_request.hpp"

namespace blktap {

class WriteOrder {
  public:
    /// Takes a request that is subject to the order. Returns true if it may start now, false if it is kept here.
    /// `live` holds all unfinished requests, this one included, in order of consumption.
    bool admit(DiskRequest& request, const LiveList& live) noexcept;

    /// A request finished (already out of `live`). Calls `go_on(DiskRequest&)` for each request that waited for it.
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

    /// Whether a barrier is unfinished: it waits for earlier requests, or is being served.
    bool holding() const noexcept { return barrier_ != nullptr; }
    /// Whether a request of a client that is leaving waits here.
    bool holds_back_closing() const noexcept {
        if (barrier_ == nullptr) return false;
        if (barrier_->client->closing() && unfinished_before_ > 0) return true;
        return std::ranges::any_of(behind_, [](const DiskRequest& each) { return each.client->closing(); });
    }
    /// Removes the waiting requests for which `is_meant(const DiskRequest&)` is true; calls `take(DiskRequest&)` for
    /// each, which must call finished().
    template <class IsMeant, class Take>
    void abandon(IsMeant is_meant, Take take) noexcept {
        take_those(behind_, is_meant, take);
        if (barrier_ != nullptr && is_meant(*barrier_) && unfinished_before_ > 0) take(*barrier_);
    }
    /// abandon() of requests of leaving clients that come after `first_blocked`, the sequence of a request that will
    /// not finish soon.
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
    std::uint64_t unfinished_before_ = 0;  ///< requests that the barrier waits for
    StageList behind_;                     ///< requests consumed after the barrier, in order
};

}  // namespace blktap
