// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Copies between a slot in shared memory and the private structs. Shared memory is accessed in words only: each word is
// loaded or stored once, and all other work is done on the private copy of the slot.
#include "libblktap/ring/request.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

namespace blktap::ring {
namespace {

using SlotImage = std::array<std::byte, wide_stride_bytes>;
using ResponseImage = std::array<std::byte, wide_response_bytes>;

/// Calls `work` with each number below `count`, unrolled: for so few words the counting of a loop would cost more than
/// the copies.
template <std::size_t count, class Work>
void for_each_word(Work work) noexcept {
    [&]<std::size_t... index>(std::index_sequence<index...>) { (work(index), ...); }(std::make_index_sequence<count>{});
}

// The builtins rather than std::atomic_ref, which accepts neither const nor volatile in C++20. Relaxed: accesses to the
// ring's indices establish the order between the two sides.
template <class Word, std::size_t size_bytes>
void load_words(std::byte* image, const volatile std::byte* shared) noexcept {
    const auto* words = reinterpret_cast<const volatile Word*>(shared);
    for_each_word<size_bytes / sizeof(Word)>([=](std::size_t index) {
        const Word word = __atomic_load_n(words + index, __ATOMIC_RELAXED);
        std::memcpy(image + index * sizeof(Word), &word, sizeof(Word));
    });
}

template <class Word, std::size_t size_bytes>
void store_words(volatile std::byte* shared, const std::byte* image) noexcept {
    auto* words = reinterpret_cast<volatile Word*>(shared);
    for_each_word<size_bytes / sizeof(Word)>([=](std::size_t index) {
        Word word;
        std::memcpy(&word, image + index * sizeof(Word), sizeof(Word));
        __atomic_store_n(words + index, word, __ATOMIC_RELAXED);
    });
}

void load_request(const Layout& layout, SlotImage& image, const volatile std::byte* slot) noexcept {
    if (layout.wide()) {
        load_words<std::uint64_t, wide_stride_bytes>(image.data(), slot);
    } else {
        load_words<std::uint32_t, narrow_stride_bytes>(image.data(), slot);
    }
}

void store_request(const Layout& layout, volatile std::byte* slot, const SlotImage& image) noexcept {
    if (layout.wide()) {
        store_words<std::uint64_t, wide_stride_bytes>(slot, image.data());
    } else {
        store_words<std::uint32_t, narrow_stride_bytes>(slot, image.data());
    }
}

template <class Field, class Image>
Field get(const Image& image, std::size_t offset) noexcept {
    Field field;
    std::memcpy(&field, image.data() + offset, sizeof(Field));
    return field;
}

template <class Field, class Image>
void put(Image& image, std::size_t offset, const Field& field) noexcept {
    std::memcpy(image.data() + offset, &field, sizeof(Field));
}

bool is_discard(std::uint8_t operation) noexcept {
    return operation == static_cast<std::uint8_t>(Operation::discard);
}

}  // namespace

RawRequest copy_request(const Layout& layout, const volatile std::byte* slot) noexcept {
    SlotImage image;
    load_request(layout, image, slot);

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
    store_request(layout, slot, image);
}

void write_response(const Layout& layout, volatile std::byte* slot, const Response& response) noexcept {
    ResponseImage image{};
    put(image, Layout::response_id, response.id);
    put(image, Layout::response_operation, response.operation);
    put(image, Layout::response_status, response.status);
    if (layout.wide()) {
        store_words<std::uint64_t, wide_response_bytes>(slot, image.data());
    } else {
        store_words<std::uint32_t, narrow_response_bytes>(slot, image.data());
    }
}

Response copy_response(const Layout& layout, const volatile std::byte* slot) noexcept {
    ResponseImage image;
    if (layout.wide()) {
        load_words<std::uint64_t, wide_response_bytes>(image.data(), slot);
    } else {
        load_words<std::uint32_t, narrow_response_bytes>(image.data(), slot);
    }
    return {get<std::uint64_t>(image, Layout::response_id), get<std::uint8_t>(image, Layout::response_operation),
            get<Status>(image, Layout::response_status)};
}

}  // namespace blktap::ring
