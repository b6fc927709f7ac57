// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/connection_queue.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap {

ConnectionQueue::ConnectionQueue(xen::GuestPages pages, xen::EventChannel channel, ring::Protocol protocol)
    : pages_(std::move(pages)), channel_(std::move(channel)), ring_(pages_.bytes(), protocol) {}

void ConnectionQueue::make_slots(RequestEngine& engine, std::uint16_t queue_index, RecoveryLog::Queue& log) {
    const std::uint32_t count = ring_.slot_count();
    log_ = &log;
    slots_ = std::make_unique<RequestSlot[]>(count);
    large_segments_ = LazyArray<ring::Segment>(count * ring::segments_indirect_max);
    large_iovecs_ = LazyArray<iovec>(count * ring::segments_indirect_max);
    large_runs_ = LazyArray<PageRun>(count * ring::segments_indirect_max);
    publishing.reserve(count);
    free_slots_.reserve(count);
    for (std::uint32_t i = count; i-- > 0;) {
        slots_[i].engine = &engine;
        slots_[i].index = static_cast<std::uint16_t>(i);
        slots_[i].queue = queue_index;
        free_slots_.push_back(static_cast<std::uint16_t>(i));
    }
}

RequestSlot& ConnectionQueue::take_slot() noexcept {
    BLKTAP_ASSERT(!free_slots_.empty());
    RequestSlot& slot = slots_[free_slots_.back()];
    free_slots_.pop_back();
    slot.phase = RequestSlot::Phase::data;
    slot.drains = false;
    slot.lack = RequestSlot::Lack::nothing;
    slot.result = {};
    slot.segments = {};
    slot.judged = {};
    slot.runs = slot.inline_runs;
    slot.iovecs = slot.inline_iovecs;
    return slot;
}

void ConnectionQueue::free_slot(RequestSlot& slot) noexcept {
    free_slots_.push_back(slot.index);
}

std::span<ring::Segment> ConnectionQueue::use_large_tables(RequestSlot& slot, std::size_t segment_count) noexcept {
    BLKTAP_ASSERT(segment_count <= ring::segments_indirect_max);
    const std::size_t start = slot.index * ring::segments_indirect_max;
    slot.iovecs = large_iovecs_.span().subspan(start, ring::segments_indirect_max);
    slot.runs = large_runs_.span().subspan(start, ring::segments_indirect_max);
    return large_segments_.span().subspan(start, segment_count);
}

void ConnectionQueue::trim() noexcept {
    large_segments_.trim();
    large_iovecs_.trim();
    large_runs_.trim();
}

}  // namespace blktap
