// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/attack/rings.hpp"

namespace blktap::attack {

HostileRing::HostileRing(std::span<std::byte> pages, ring::Protocol protocol) noexcept
    : pages_(pages),
      layout_(ring::layout_of(protocol)),
      slot_count_(static_cast<std::uint32_t>(ring::ring_slot_count(protocol, pages.size() / page_size_bytes))) {
    store(ring::request_event_offset, 1);
    store(ring::response_event_offset, 1);
}

volatile std::byte* HostileRing::slot(std::uint32_t index) const noexcept {
    return &pages_[ring::ring_header_bytes + (index & (slot_count_ - 1)) * layout_.request_stride_bytes];
}

void HostileRing::store(std::size_t offset, std::uint32_t value) noexcept {
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(&pages_[offset]), value, __ATOMIC_RELEASE);
}

std::uint32_t HostileRing::load(std::size_t offset) const noexcept {
    return __atomic_load_n(reinterpret_cast<std::uint32_t*>(&pages_[offset]), __ATOMIC_ACQUIRE);
}

std::uint32_t HostileRing::put(SeededRandom& random, const HostileMemory& memory, std::uint32_t count) noexcept {
    const std::uint32_t answered = load(ring::response_producer_offset);
    std::uint32_t put = 0;
    for (; put < count && producer_ - answered < slot_count_; ++put)
        ring::write_request(layout_, slot(producer_++), memory.draw_request(random));
    return put;
}

void HostileRing::publish() noexcept {
    store(ring::request_producer_offset, producer_);
}

void HostileRing::break_an_index(SeededRandom& random) noexcept {
    const std::size_t offsets[] = {ring::request_producer_offset, ring::request_event_offset,
                                   ring::response_producer_offset, ring::response_event_offset};
    const std::uint32_t near = load(ring::request_producer_offset) + random.between<std::uint32_t>(0, 2 * slot_count_);
    store(offsets[random.between<std::size_t>(0, 3)], random.one_in(2) ? near : random.any<std::uint32_t>());
}

void HostileRing::rewrite(SeededRandom& random, const HostileMemory& memory) noexcept {
    volatile std::byte* const at = slot(random.any<std::uint32_t>());
    // A whole request of another kind, or one word: its sector stays in the second half, as the layouts of all
    // operations have it in the same place.
    if (random.one_in(4)) return ring::write_request(layout_, at, memory.draw_request(random));
    const std::size_t words = layout_.request_stride_bytes / sizeof(std::uint32_t);
    const std::size_t offset = random.between<std::size_t>(0, words - 1) * sizeof(std::uint32_t);
    if (offset == layout_.sector_number) return;
    auto* const word = reinterpret_cast<volatile std::uint32_t*>(at + offset);
    *word = random.one_in(2) ? memory.draw_ref(random) : random.any<std::uint32_t>();
}

}  // namespace blktap::attack
