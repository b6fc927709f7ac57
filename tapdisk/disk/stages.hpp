// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Stages: the unfinished requests of a disk, each on the list where it waits for the driver: for its turn in the order
// of writes, for its range, or for its start. Scheduler moves requests along the lists. Stages knows which request
// waits for which, and takes out those that cannot go on.
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
    StageList ordered;    ///< held back by no barrier: these claim their ranges next
    StageList ranged;     ///< have their ranges
    StageList starting;   ///< have their memory too
    StageList postponed;  ///< ready, but nothing starts for now

    /// Every unfinished request, in order of admission.
    const LiveList& live() const noexcept { return live_; }

    /// Adds a request, taken after all others. It goes to `ordered`, at once or when the barrier before it is finished.
    void admit(DiskRequest& request) noexcept {
        live_.push_back(request);
        if (order_.admit(request, live_)) ordered.push_back(request);
    }
    /// True: the request has its range. False: it waits, and goes to `ranged` when it has the range.
    bool claim(DiskRequest& request, SectorRange range, RangeGuard::Mode mode) noexcept {
        return ranges_.acquire(request.claim, range, mode);
    }
    /// The request is parked: later writes to its range wait for it.
    void keep_place(DiskRequest& request) noexcept {
        if (request.claim.is_linked()) ranges_.order(request.claim);
    }
    /// Takes the request out of the order: no barrier waits for it any more.
    void leave_order(DiskRequest& request) noexcept {
        live_.erase(LiveList::s_iterator_to(request));
        order_.finished(request, live_, [this](DiskRequest& next) { ordered.push_back(next); });
    }
    /// The request is finished: lets the requests go on that waited for it.
    void end(DiskRequest& request) noexcept {
        if (request.claim.is_linked()) {
            ranges_.release(request.claim, [this](RangeGuard::Claim& claim) { ranged.push_back(request_of(claim)); });
        }
        if (request.LiveHook::is_linked()) leave_order(request);
    }

    /// Sends all requests back to `ordered`, in the order of their sequence, with those of `parked` and those for which
    /// `clients` want memory. Only while the driver has no request.
    void begin_again(StageList& parked, std::span<DiskClient* const> clients) noexcept;

    /// Takes out the requests of `client` that wait here or for memory, except those that wait for a range.
    /// `take(DiskRequest&)` ends each.
    template <class Take>
    void take_those_of(DiskClient& client, Take take) noexcept {
        order_.abandon([&client](const DiskRequest& request) { return request.client == &client; }, take);
        // Ending one may move others onto lists already seen: repeat until none is left.
        bool any = true;
        while (std::exchange(any, false)) {
            for (StageList* list : {&ordered, &ranged, &client.wanting_, &starting, &postponed})
                any = blktap::take_those_of(client, *list, take) || any;
        }
    }

    /// Whether a request of a client that is leaving waits for another request.
    bool holds_back_closing() const noexcept;
    /// Takes out the requests of leaving clients that wait for one of `parked`, directly or through others.
    /// `take(DiskRequest&)` ends each. Only while the driver has no request, and before begin_again().
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
