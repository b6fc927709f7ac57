// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/write_order.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap {

bool WriteOrder::admit(DiskRequest& request, const LiveList& live) noexcept {
    if (!request.changes_disk() && !request.drains()) return true;
    if (barrier_ != nullptr) {
        behind_.push_back(request);
        return false;
    }
    return start_or_wait(request, live);
}

bool WriteOrder::start_or_wait(DiskRequest& request, const LiveList& live) noexcept {
    if (!request.drains()) return true;
    barrier_ = &request;
    unfinished_before_ = 0;
    for (const DiskRequest& other : live) {
        if (&other == &request) return unfinished_before_ == 0;
        ++unfinished_before_;
    }
    BLKTAP_ASSERT(false);  // an admitted barrier is in the list of live requests
    return false;
}

}  // namespace blktap
