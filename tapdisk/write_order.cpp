// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/write_order.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap {

bool WriteOrder::admit(RequestSlot& slot, const LiveList& live) noexcept {
    if (!slot.changes_disk() && !slot.drains) return true;
    if (barrier_ != nullptr) {
        behind_.push_back(slot);
        return false;
    }
    return start_or_wait(slot, live);
}

bool WriteOrder::start_or_wait(RequestSlot& slot, const LiveList& live) noexcept {
    if (!slot.drains) return true;
    barrier_ = &slot;
    unfinished_before_ = 0;
    for (const RequestSlot& other : live) {
        if (&other == &slot) return unfinished_before_ == 0;
        ++unfinished_before_;
    }
    BLKTAP_ASSERT(false);  // a barrier is unfinished, so live, while it is admitted
    return false;
}

}  // namespace blktap
