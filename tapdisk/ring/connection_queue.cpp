// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/connection_queue.hpp"

#include <algorithm>

#include "libblktap/base/assert.hpp"
#include "libblktap/ring/wire_status.hpp"
#include "tapdisk/ring/named_store.hpp"

namespace blktap {
namespace {

/// Makes `slot` that of a request which was just taken. Inline: it is on the path of every request.
[[gnu::always_inline]] inline void reset(RequestSlot& slot) noexcept {
    slot.result = {};
    slot.range = {};
    slot.replayed = false;
    slot.segments = {};
    slot.needs_descriptors = false;
    slot.runs = slot.inline_runs;
    slot.iovecs = slot.inline_iovecs;
}

}  // namespace

void ConnectionQueue::make_slots(DiskClient& client, std::uint16_t queue_index, RecoveryLog::Queue& log) {
    const std::uint32_t count = ring_.slot_count();
    log_ = &log;
    slots_ = std::make_unique<RequestSlot[]>(count);
    large_segments_ = LazyArray<ring::Segment>(count * ring::segments_indirect_max);
    large_iovecs_ = LazyArray<iovec>(count * ring::segments_indirect_max);
    large_runs_ = LazyArray<PageRun>(count * ring::segments_indirect_max);
    free_slots_.reserve(count);
    publishing_.reserve(count);
    for (std::uint32_t i = count; i-- > 0;) {
        slots_[i].client = &client;
        slots_[i].index = static_cast<std::uint16_t>(i);
        slots_[i].queue = queue_index;
        free_slots_.push_back(static_cast<std::uint16_t>(i));
    }
}

void ConnectionQueue::adopt(const std::function<void(RequestSlot&)>& take) {
    std::vector<std::uint16_t> unanswered;
    const bool settled = log_->settle(ring_.responses_published());
    if (settled) unanswered = log_->unanswered();
    if (!settled || !ring_.adopt(log_->consumed(), static_cast<std::uint32_t>(unanswered.size()))) {
        log_->clear();
        ring_.stop();
        return;
    }
    for (const std::uint16_t index : unanswered) {
        std::erase(free_slots_, index);
        RequestSlot& slot = slots_[index];
        reset(slot);
        slot.sequence = BLKTAP_PLANTED("sequence-ignored") ? index + 1u : log_->sequence(index);
        slot.raw = &log_->request(index);
        slot.replayed = true;
        take(slot);
    }
    BLKTAP_STORED("queue-adopted");
}

void ConnectionQueue::set_image(ImageDriver& driver) {
    const std::uint32_t count = ring_.slot_count();
    scratch_ = std::make_unique<ScratchMemory>(driver, count);
    for (std::uint32_t i = 0; i < count; ++i)
        scratch_->add(slots_[i].image);
}

RequestSlot& ConnectionQueue::take_slot() noexcept {
    BLKTAP_ASSERT(!free_slots_.empty());
    RequestSlot& slot = slots_[free_slots_.back()];
    free_slots_.pop_back();
    reset(slot);
    return slot;
}

void ConnectionQueue::answer(RequestSlot& slot) noexcept {
    ring_.put_response({slot.raw->id, slot.raw->response_operation(), ring::wire_status(slot.result)});
    BLKTAP_STORED("response-put");
    publishing_.push_back(slot.index);
}

bool ConnectionQueue::publish() noexcept {
    log_->begin_publish(ring_.responses_published(), ring_.responses_put(), publishing_);
    const bool notify = ring_.publish();
    BLKTAP_STORED("responses-visible");
    log_->end_publish();
    free_slots_.insert(free_slots_.end(), publishing_.begin(), publishing_.end());
    publishing_.clear();
    if (notify) signal_.notify();
    BLKTAP_STORED("frontend-notified");
    return notify;
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

ring::Protocol ring_protocol(const ipc::ConnectArguments& frontend) {
    const auto protocol = ring::parse_protocol(frontend.protocol);
    if (!protocol) throw_error(Errc::bad_message, "protocol \"" + frontend.protocol + "\"");
    return *protocol;
}

}  // namespace blktap
