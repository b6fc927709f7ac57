// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Between a slot in shared memory and the private structs. Words are the only unit in which shared memory is touched:
// each is loaded or stored once, and everything else happens on the private image of the slot.
#include "libblktap/ring/request.hpp"

#include <algorithm>
#include <cstring>

namespace blktap::ring {
namespace {

constexpr std::size_t slot_bytes_max = 112;
using SlotImage = std::array<std::byte, slot_bytes_max>;

// The builtins rather than std::atomic_ref, which takes neither const nor volatile in C++20. Relaxed: the order against
// the other side is that of the ring's indices.
template <class Word>
void load_words(std::byte* image, const volatile std::byte* shared, std::size_t size_bytes) noexcept {
    const auto* words = reinterpret_cast<const volatile Word*>(shared);
    for (std::size_t i = 0; i < size_bytes / sizeof(Word); ++i) {
        const Word word = __atomic_load_n(words + i, __ATOMIC_RELAXED);
        std::memcpy(image + i * sizeof(Word), &word, sizeof(Word));
    }
}

template <class Word>
void store_words(volatile std::byte* shared, const std::byte* image, std::size_t size_bytes) noexcept {
    auto* words = reinterpret_cast<volatile Word*>(shared);
    for (std::size_t i = 0; i < size_bytes / sizeof(Word); ++i) {
        Word word;
        std::memcpy(&word, image + i * sizeof(Word), sizeof(Word));
        __atomic_store_n(words + i, word, __ATOMIC_RELAXED);
    }
}

// A stride of 108 bytes leaves every other slot aligned to 4 bytes only; and a slot's last word must not reach into
// the next slot.
bool has_wide_words(const Layout& layout) noexcept {
    return layout.request_stride_bytes % sizeof(std::uint64_t) == 0;
}

void load_slot(const Layout& layout, SlotImage& image, const volatile std::byte* slot,
               std::size_t size_bytes) noexcept {
    if (has_wide_words(layout)) {
        load_words<std::uint64_t>(image.data(), slot, size_bytes);
    } else {
        load_words<std::uint32_t>(image.data(), slot, size_bytes);
    }
}

void store_slot(const Layout& layout, volatile std::byte* slot, const SlotImage& image,
                std::size_t size_bytes) noexcept {
    if (has_wide_words(layout)) {
        store_words<std::uint64_t>(slot, image.data(), size_bytes);
    } else {
        store_words<std::uint32_t>(slot, image.data(), size_bytes);
    }
}

template <class Field>
Field get(const SlotImage& image, std::size_t offset) noexcept {
    Field field;
    std::memcpy(&field, image.data() + offset, sizeof(Field));
    return field;
}

template <class Field>
void put(SlotImage& image, std::size_t offset, const Field& field) noexcept {
    std::memcpy(image.data() + offset, &field, sizeof(Field));
}

bool is_discard(std::uint8_t operation) noexcept {
    return operation == static_cast<std::uint8_t>(Operation::discard);
}

}  // namespace

RawRequest copy_request(const Layout& layout, const volatile std::byte* slot) noexcept {
    SlotImage image;
    load_slot(layout, image, slot, layout.request_stride_bytes);

    RawRequest request{};
    request.operation = get<std::uint8_t>(image, Layout::operation);
    if (request.indirect()) {
        request.indirect_operation = get<std::uint8_t>(image, layout.indirect_operation);
        request.segment_count = get<std::uint16_t>(image, layout.indirect_segment_count);
        request.id = get<std::uint64_t>(image, layout.indirect_id);
        request.sector_number = get<std::uint64_t>(image, layout.indirect_sector_number);
        request.handle = get<std::uint16_t>(image, layout.indirect_handle);
        request.indirect_refs = get<decltype(request.indirect_refs)>(image, layout.indirect_refs);
        return request;
    }
    request.id = get<std::uint64_t>(image, layout.id);
    request.sector_number = get<std::uint64_t>(image, layout.sector_number);
    request.handle = get<std::uint16_t>(image, Layout::handle);
    if (is_discard(request.operation)) {
        request.discard_flag = get<std::uint8_t>(image, Layout::segment_count);
        request.discard_sectors = get<std::uint64_t>(image, layout.discard_sectors);
    } else {
        request.segment_count = get<std::uint8_t>(image, Layout::segment_count);
        request.segments = get<decltype(request.segments)>(image, layout.segments);
    }
    return request;
}

void write_request(const Layout& layout, volatile std::byte* slot, const RawRequest& request) noexcept {
    SlotImage image{};
    put(image, Layout::operation, request.operation);
    if (request.indirect()) {
        put(image, layout.indirect_operation, request.indirect_operation);
        put(image, layout.indirect_segment_count, request.segment_count);
        put(image, layout.indirect_id, request.id);
        put(image, layout.indirect_sector_number, request.sector_number);
        put(image, layout.indirect_handle, request.handle);
        put(image, layout.indirect_refs, request.indirect_refs);
    } else {
        put(image, layout.id, request.id);
        put(image, layout.sector_number, request.sector_number);
        put(image, Layout::handle, request.handle);
        if (is_discard(request.operation)) {
            put(image, Layout::segment_count, request.discard_flag);
            put(image, layout.discard_sectors, request.discard_sectors);
        } else {
            put(image, Layout::segment_count, static_cast<std::uint8_t>(request.segment_count));
            put(image, layout.segments, request.segments);
        }
    }
    store_slot(layout, slot, image, layout.request_stride_bytes);
}

void write_response(const Layout& layout, volatile std::byte* slot, const Response& response) noexcept {
    SlotImage image{};
    put(image, Layout::response_id, response.id);
    put(image, Layout::response_operation, response.operation);
    put(image, Layout::response_status, response.status);
    store_slot(layout, slot, image, layout.response_size_bytes);
}

Response copy_response(const Layout& layout, const volatile std::byte* slot) noexcept {
    SlotImage image;
    load_slot(layout, image, slot, layout.response_size_bytes);
    return {get<std::uint64_t>(image, Layout::response_id), get<std::uint8_t>(image, Layout::response_operation),
            get<Status>(image, Layout::response_status)};
}

}  // namespace blktap::ring
