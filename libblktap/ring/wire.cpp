// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The three slot layouts. x86_32 and x86_64 are defined by the protocol and written as numbers; "native" is computed by
// this host's compiler, so that a port to another architecture needs no table of its own.
#include "libblktap/ring/wire.hpp"

#include <bit>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::ring {
namespace {

struct NativeSegment {
    std::uint32_t gref;
    std::uint8_t first_sector, last_sector;
};

struct NativeRequest {
    std::uint8_t operation, segment_count;
    std::uint16_t handle;
    std::uint64_t id;
    std::uint64_t sector_number;
    NativeSegment segments[segments_direct_max];
};

struct NativeDiscard {
    std::uint8_t operation, flag;
    std::uint16_t handle;
    std::uint64_t id;
    std::uint64_t sector_number;
    std::uint64_t sector_count;
};

struct NativeIndirect {
    std::uint8_t operation, indirect_operation;
    std::uint16_t segment_count;
    std::uint64_t id;
    std::uint64_t sector_number;
    std::uint16_t handle;
    std::uint32_t refs[indirect_refs_in_slot];
};

struct NativeResponse {
    std::uint64_t id;
    std::uint8_t operation;
    std::int16_t status;
};

constexpr Layout native_layout{
    .request_stride_bytes = sizeof(NativeRequest),
    .id = offsetof(NativeRequest, id),
    .sector_number = offsetof(NativeRequest, sector_number),
    .segments = offsetof(NativeRequest, segments),
    .discard_sectors = offsetof(NativeDiscard, sector_count),
    .indirect_operation = offsetof(NativeIndirect, indirect_operation),
    .indirect_segment_count = offsetof(NativeIndirect, segment_count),
    .indirect_id = offsetof(NativeIndirect, id),
    .indirect_sector_number = offsetof(NativeIndirect, sector_number),
    .indirect_handle = offsetof(NativeIndirect, handle),
    .indirect_refs = offsetof(NativeIndirect, refs),
};

constexpr Layout x86_32_layout{
    .request_stride_bytes = narrow_stride_bytes,
    .id = 4,
    .sector_number = 12,
    .segments = 20,
    .discard_sectors = 20,
    .indirect_operation = 1,
    .indirect_segment_count = 2,
    .indirect_id = 4,
    .indirect_sector_number = 12,
    .indirect_handle = 20,
    .indirect_refs = 24,
};

constexpr Layout x86_64_layout{
    .request_stride_bytes = wide_stride_bytes,
    .id = 8,
    .sector_number = 16,
    .segments = 24,
    .discard_sectors = 24,
    .indirect_operation = 1,
    .indirect_segment_count = 2,
    .indirect_id = 8,
    .indirect_sector_number = 16,
    .indirect_handle = 24,
    .indirect_refs = 28,
};

// Fields that have the same offset in every layout are constants of Layout.
static_assert(offsetof(NativeRequest, operation) == Layout::operation);
static_assert(offsetof(NativeRequest, segment_count) == Layout::segment_count);
static_assert(offsetof(NativeDiscard, flag) == Layout::segment_count);
static_assert(offsetof(NativeRequest, handle) == Layout::handle);
static_assert(sizeof(NativeRequest) == wide_stride_bytes || sizeof(NativeRequest) == narrow_stride_bytes);
static_assert(sizeof(NativeResponse) ==
              (sizeof(NativeRequest) == wide_stride_bytes ? wide_response_bytes : narrow_response_bytes));
static_assert(offsetof(NativeResponse, id) == Layout::response_id);
static_assert(offsetof(NativeResponse, operation) == Layout::response_operation);
static_assert(offsetof(NativeResponse, status) == Layout::response_status);

// io/protocols.h names the native layout of each architecture; an x86 frontend never writes the ARM name.
#if defined(__arm__) || defined(__aarch64__)
constexpr std::string_view native_abi_name = "arm-abi";
#else
constexpr std::string_view native_abi_name = "native";
#endif

}  // namespace

std::optional<Protocol> parse_protocol(std::string_view text) noexcept {
    if (text == "x86_32-abi") return Protocol::x86_32;
    if (text == "x86_64-abi") return Protocol::x86_64;
    if (text == "native" || text == native_abi_name) return Protocol::native;
    return std::nullopt;
}

std::string_view protocol_name(Protocol protocol) noexcept {
    switch (protocol) {
        case Protocol::native:
            return "native";
        case Protocol::x86_32:
            return "x86_32-abi";
        case Protocol::x86_64:
            return "x86_64-abi";
    }
    BLKTAP_ASSERT(false);
}

const Layout& layout_of(Protocol protocol) noexcept {
    switch (protocol) {
        case Protocol::native:
            return native_layout;
        case Protocol::x86_32:
            return x86_32_layout;
        case Protocol::x86_64:
            return x86_64_layout;
    }
    BLKTAP_ASSERT(false);
}

std::size_t ring_slot_count(Protocol protocol, std::size_t page_count) noexcept {
    BLKTAP_ASSERT(page_count >= 1 && page_count <= ring_pages_max);
    const std::size_t slot_bytes = page_count * page_size_bytes - ring_header_bytes;
    return std::bit_floor(slot_bytes / layout_of(protocol).request_stride_bytes);
}

}  // namespace blktap::ring
