// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Stages: the unfinished requests of a disk, and where each waits until the driver may have it: for its turn in the
// order of writes, for its range, for its start. Scheduler moves requests along the lists; Stages knows who waits for
// whom, and takes out those who will not go on.
//
// Tested by tests/unit/tapdisk/disk/request_engine_test.cpp, overlap_test.cpp and leaving_test.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "tapdisk/disk/disk_request.hpp"
#include "tapdisk/disk/range_guard.hpp"
#include "tapdisk/disk/write_order.hpp"

namespace blktap {

class Stages {
  public:
    StageList ordered;    ///< no barrier holds it back: claims its range next
    StageList ranged;     ///< has its range
    StageList starting;   ///< has its memory too
    StageList postponed;  ///< would start, but nothing starts for now

    /// Every unfinished request, in order of admission.
    const LiveList& live() const noexcept { return live_; }

    /// A request that was taken after all others: goes to `ordered`, at once or when the barrier before it is over.
    void admit(DiskRequest& request) noexcept {
        live_.push_back(request);
        if (order_.admit(request, live_)) ordered.push_back(request);
    }
    /// True: the request has its range. False: it goes to `ranged` when it has.
    bool claim(DiskRequest& request, SectorRange range, RangeGuard::Mode mode) noexcept {
        return ranges_.acquire(request.claim, range, mode);
    }
    /// The request is parked: what is written to its range later waits for it.
    void keep_place(DiskRequest& request) noexcept {
        if (request.claim.is_linked()) ranges_.order(request.claim);
    }
    /// No barrier waits for the request any more.
    void leave_order(DiskRequest& request) noexcept {
        live_.erase(LiveList::s_iterator_to(request));
        order_.finished(request, live_, [this](DiskRequest& next) { ordered.push_back(next); });
    }
    /// The request is over: lets go on what waited for it.
    void end(DiskRequest& request) noexcept {
        if (request.claim.is_linked()) {
            ranges_.release(request.claim, [this](RangeGuard::Claim& claim) { ranged.push_back(request_of(claim)); });
        }
        if (request.LiveHook::is_linked()) leave_order(request);
    }

    /// Sends every request back to `ordered`, in the order in which they were taken: those of `parked` too, and those
    /// for which `clients` want memory. Only while the driver has none.
    void begin_again(StageList& parked, std::span<DiskClient* const> clients) noexcept;

    /// Takes out the requests of `client` that wait here, but those that wait for a range, and those for which it wants
    /// memory. `take(DiskRequest&)` ends each.
    template <class Take>
    void take_those_of(DiskClient& client, Take take) noexcept {
        order_.abandon([&client](const DiskRequest& request) { return request.client == &client; }, take);
        // The end of one lets others go on to the lists before it: until all are empty.
        bool any = true;
        while (std::exchange(any, false)) {
            for (StageList* list : {&ordered, &ranged, &client.wanting_, &starting, &postponed})
                any = blktap::take_those_of(client, *list, take) || any;
        }
    }

    /// A request of a client that is leaving waits for another request.
    bool holds_back_closing() const noexcept;
    /// Takes out the requests of clients that are leaving which wait for one of `parked`, or for one that waits for it.
    /// `take(DiskRequest&)` ends each. Only while the driver has none, and before begin_again().
    template <class Take>
    void take_stuck(StageList& parked, Take take) noexcept {
        StageList stuck;
        const std::uint64_t first_blocked = take_stuck_in_ranges(parked, stuck);
        while (!stuck.empty())
            take(take_first(stuck));
        order_.abandon_closing(first_blocked, take);
    }

  private:
    std::uint64_t take_stuck_in_ranges(StageList& parked, StageList& stuck) noexcept;

    LiveList live_;
    WriteOrder order_;
    RangeGuard ranges_;
};

}  // namespace blktap
