// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Memory order: the header says which store must come before which load, and why. Everything a function reads from
// shared memory it reads once.
#include "libblktap/ring/back_ring.hpp"

#include "libblktap/base/assert.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::ring {

BackRing::BackRing(std::span<std::byte> pages, Protocol protocol) noexcept
    : layout_(&layout_of(protocol)),
      base_(pages.data()),
      slot_count_(static_cast<std::uint32_t>(ring_slot_count(protocol, pages.size() / page_size_bytes))),
      request_producer_(base_ + request_producer_offset),
      request_event_(base_ + request_event_offset),
      response_producer_(base_ + response_producer_offset),
      response_event_(base_ + response_event_offset) {
    response_published_ = response_producer_.load(std::memory_order_acquire);
    response_private_ = response_published_;
    request_consumed_ = response_published_;
}

volatile std::byte* BackRing::slot(std::uint32_t index) const noexcept {
    return base_ + ring_header_bytes + (index & (slot_count_ - 1)) * layout_->request_stride_bytes;
}

Result<std::uint32_t> BackRing::pending_requests() noexcept {
    if (stopped_) return Errc::ring_overrun;
    const std::uint32_t pending = request_producer_.load(std::memory_order_acquire) - request_consumed_;
    // A producer that went backwards looks like four billion requests, so this refuses it too.
    const std::uint32_t unanswered = request_consumed_ - response_private_;
    if (pending > slot_count_ - unanswered) {
        stopped_ = true;
        return Errc::ring_overrun;
    }
    return pending;
}

RawRequest BackRing::consume() noexcept {
    BLKTAP_ASSERT(!stopped_ && request_consumed_ - response_private_ < slot_count_);
    return copy_request(*layout_, slot(request_consumed_++));
}

void BackRing::put_response(const Response& response) noexcept {
    BLKTAP_ASSERT(response_private_ != request_consumed_);
    write_response(*layout_, slot(response_private_++), response);
}

bool BackRing::publish() noexcept {
    const std::uint32_t old_published = response_published_;
    response_published_ = response_private_;
    response_producer_.store(response_published_, std::memory_order_seq_cst);
    const std::uint32_t wanted = response_event_.load(std::memory_order_seq_cst);
    return response_published_ - wanted < response_published_ - old_published;
}

bool BackRing::rearm() noexcept {
    if (stopped_) return false;
    request_event_.store(request_consumed_ + 1, std::memory_order_seq_cst);
    return request_producer_.load(std::memory_order_seq_cst) != request_consumed_;
}

bool BackRing::request_waiting() const noexcept {
    return !stopped_ && request_producer_.load(std::memory_order_acquire) != request_consumed_;
}

}  // namespace blktap::ring
