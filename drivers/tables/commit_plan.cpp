// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/commit_plan.hpp"

#include <algorithm>

#include "libblktap/base/assert.hpp"

namespace blktap::tables {

CommitPlan::CommitPlan(unsigned phases, std::size_t capacity) : last_phase_(phases - 1), capacity_(capacity) {
    writes_.reserve(capacity);
}

void CommitPlan::write(unsigned phase, std::uint64_t offset, std::span<std::byte> data) noexcept {
    BLKTAP_ASSERT(phase <= last_phase_ && writes_.size() < capacity_);
    writes_.push_back({phase, offset, data});
}

bool CommitPlan::writes_in(unsigned phase) const noexcept {
    return std::ranges::find(writes_, phase, &Write::phase) != writes_.end();
}

void CommitPlan::clear_writes() noexcept {
    writes_.clear();
    punches_.clear();
}

}  // namespace blktap::tables
