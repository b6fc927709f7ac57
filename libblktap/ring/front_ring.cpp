// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The mirror image of back_ring.cpp, with the same memory order.
#include "libblktap/ring/front_ring.hpp"

#include <algorithm>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::ring {

FrontRing::FrontRing(std::span<std::byte> pages, Protocol protocol) noexcept
    : layout_(&layout_of(protocol)),
      base_(pages.data()),
      slot_count_(static_cast<std::uint32_t>(ring_slot_count(protocol, pages.size() / page_size_bytes))),
      request_producer_(base_ + request_producer_offset),
      request_event_(base_ + request_event_offset),
      response_producer_(base_ + response_producer_offset),
      response_event_(base_ + response_event_offset) {
    std::fill_n(base_, ring_header_bytes, std::byte{0});
    // Each side asks to be woken for the other's first message.
    request_event_.store(1, std::memory_order_release);
    response_event_.store(1, std::memory_order_release);
}

volatile std::byte* FrontRing::slot(std::uint32_t index) const noexcept {
    return base_ + ring_header_bytes + (index & (slot_count_ - 1)) * layout_->request_stride_bytes;
}

void FrontRing::put_request(const RawRequest& request) noexcept {
    BLKTAP_ASSERT(!full());
    write_request(*layout_, slot(request_private_++), request);
}

bool FrontRing::publish() noexcept {
    const std::uint32_t old_published = request_published_;
    request_published_ = request_private_;
    request_producer_.store(request_published_, std::memory_order_seq_cst);
    const std::uint32_t wanted = request_event_.load(std::memory_order_seq_cst);
    return request_published_ - wanted < request_published_ - old_published;
}

Result<std::optional<Response>> FrontRing::take_response() noexcept {
    const std::uint32_t waiting = response_producer_.load(std::memory_order_acquire) - response_consumed_;
    if (waiting > request_published_ - response_consumed_) return Errc::ring_overrun;
    if (waiting == 0) return std::optional<Response>{};
    return std::optional(copy_response(*layout_, slot(response_consumed_++)));
}

bool FrontRing::rearm() noexcept {
    response_event_.store(response_consumed_ + 1, std::memory_order_seq_cst);
    return response_producer_.load(std::memory_order_seq_cst) != response_consumed_;
}

bool FrontRing::response_waiting() const noexcept {
    return response_producer_.load(std::memory_order_acquire) != response_consumed_;
}

void FrontRing::force_request_producer(std::uint32_t value) noexcept {
    request_producer_.store(value, std::memory_order_seq_cst);
}

std::span<std::byte> FrontRing::slot_bytes(std::uint32_t index) noexcept {
    return {const_cast<std::byte*>(slot(index)), layout_->request_stride_bytes};
}

}  // namespace blktap::ring
