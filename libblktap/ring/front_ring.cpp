// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Mirrors back_ring.cpp, with the same memory order.
#include "libblktap/ring/front_ring.hpp"

#include <algorithm>

#include "libblktap/base/assert.hpp"

namespace blktap::ring {

FrontRing::FrontRing(std::span<std::byte> pages, Protocol protocol) noexcept : shared_(pages, protocol) {
    std::fill_n(shared_.base, ring_header_bytes, std::byte{0});
    // Each side asks to be woken for the other's first message.
    shared_.request_event.store(1, std::memory_order_release);
    shared_.response_event.store(1, std::memory_order_release);
}

void FrontRing::put_request(const RawRequest& request) noexcept {
    BLKTAP_ASSERT(!full());
    write_request(*shared_.layout, shared_.slot(request_private_++), request);
}

bool FrontRing::publish() noexcept {
    const std::uint32_t old_published = request_published_;
    request_published_ = request_private_;
    shared_.request_producer.store(request_published_, std::memory_order_seq_cst);
    const std::uint32_t wanted = shared_.request_event.load(std::memory_order_seq_cst);
    return request_published_ - wanted < request_published_ - old_published;
}

Result<std::optional<Response>> FrontRing::take_response() noexcept {
    const std::uint32_t waiting = shared_.response_producer.load(std::memory_order_acquire) - response_consumed_;
    if (waiting > request_published_ - response_consumed_) return Errc::ring_overrun;
    if (waiting == 0) return std::optional<Response>{};
    return std::optional(copy_response(*shared_.layout, shared_.slot(response_consumed_++)));
}

bool FrontRing::rearm() noexcept {
    shared_.response_event.store(response_consumed_ + 1, std::memory_order_seq_cst);
    return shared_.response_producer.load(std::memory_order_seq_cst) != response_consumed_;
}

bool FrontRing::response_waiting() const noexcept {
    return shared_.response_producer.load(std::memory_order_acquire) != response_consumed_;
}

void FrontRing::force_request_producer(std::uint32_t value) noexcept {
    shared_.request_producer.store(value, std::memory_order_seq_cst);
}

std::span<std::byte> FrontRing::slot_bytes(std::uint32_t index) noexcept {
    return {const_cast<std::byte*>(shared_.slot(index)), shared_.layout->request_stride_bytes};
}

}  // namespace blktap::ring
