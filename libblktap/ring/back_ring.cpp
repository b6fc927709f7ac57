// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Memory order: the header says which store must come before which load, and why. A function reads each value of shared
// memory once.
#include "libblktap/ring/back_ring.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap::ring {

BackRing::BackRing(std::span<std::byte> pages, Protocol protocol) noexcept : shared_(pages, protocol) {
    response_published_ = shared_.response_producer.load(std::memory_order_acquire);
    response_private_ = response_published_;
    request_consumed_ = response_published_;
}

bool BackRing::adopt(std::uint32_t consumed, std::uint32_t unanswered) noexcept {
    if (unanswered > shared_.slot_count || consumed - response_published_ != unanswered) return false;
    request_consumed_ = consumed;
    return true;
}

Result<std::uint32_t> BackRing::pending_requests() noexcept {
    if (stopped_) return Errc::ring_overrun;
    const std::uint32_t pending = shared_.request_producer.load(std::memory_order_acquire) - request_consumed_;
    // A producer that went backwards looks like four billion requests, so this refuses it too.
    const std::uint32_t unanswered = request_consumed_ - response_private_;
    if (pending > shared_.slot_count - unanswered) {
        stopped_ = true;
        return Errc::ring_overrun;
    }
    return pending;
}

RawRequest BackRing::consume() noexcept {
    BLKTAP_ASSERT(!stopped_ && request_consumed_ - response_private_ < shared_.slot_count);
    return copy_request(*shared_.layout, shared_.slot(request_consumed_++));
}

void BackRing::put_response(const Response& response) noexcept {
    BLKTAP_ASSERT(response_private_ != request_consumed_);
    write_response(*shared_.layout, shared_.slot(response_private_++), response);
}

bool BackRing::publish() noexcept {
    const std::uint32_t old_published = response_published_;
    response_published_ = response_private_;
    shared_.response_producer.store(response_published_, std::memory_order_seq_cst);
    const std::uint32_t wanted = shared_.response_event.load(std::memory_order_seq_cst);
    return response_published_ - wanted < response_published_ - old_published;
}

bool BackRing::rearm() noexcept {
    if (stopped_) return false;
    shared_.request_event.store(request_consumed_ + 1, std::memory_order_seq_cst);
    return shared_.request_producer.load(std::memory_order_seq_cst) != request_consumed_;
}

bool BackRing::request_waiting() const noexcept {
    return !stopped_ && shared_.request_producer.load(std::memory_order_acquire) != request_consumed_;
}

}  // namespace blktap::ring
