// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The blkif wire: operations, statuses, and where each field lies in the three layouts of a ring slot. Written from
// the protocol's description in Xen's public header io/blkif.h and checked against it by tests/unit/ring/abi_test.cpp;
// nothing of Xen is included here.
//
// A 32-bit x86 guest packs a request to 4-byte alignment (108-byte stride, i386's struct layout), a 64-bit one to 8
// (112 bytes). "native" is the layout of this host's compiler; on every 64-bit architecture it equals x86_64.
//
// Tested by tests/unit/ring/wire_test.cpp and abi_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace blktap::ring {

/// blkif.h, BLKIF_OP_*. 4 is reserved. Any other value may arrive and is answered EOPNOTSUPP.
enum class Operation : std::uint8_t {
    read = 0,
    write = 1,
    write_barrier = 2,
    flush_diskcache = 3,
    discard = 5,
    indirect = 6,
};

/// blkif.h, BLKIF_RSP_*.
enum class Status : std::int16_t { okay = 0, error = -1, not_supported = -2 };

enum class Protocol : std::uint8_t { native, x86_32, x86_64 };
/// The values of xenstore's `protocol` node (io/protocols.h); "native" for a node that is absent by choice, and this
/// architecture's own name for its native layout.
std::optional<Protocol> parse_protocol(std::string_view text) noexcept;
std::string_view protocol_name(Protocol protocol) noexcept;

inline constexpr std::size_t segments_direct_max = 11;          ///< BLKIF_MAX_SEGMENTS_PER_REQUEST
inline constexpr std::size_t segments_indirect_max = 256;       ///< advertised limit: 1 MiB a request, as blkback's
inline constexpr std::size_t indirect_refs_in_slot = 8;         ///< BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST
inline constexpr std::size_t segments_per_indirect_page = 512;  ///< a page of 8-byte descriptors
inline constexpr std::size_t indirect_pages_max = 8;
inline constexpr std::size_t ring_pages_max = 16;       ///< max-ring-page-order 4
inline constexpr std::size_t ring_slots_max = 512;      ///< of 16 pages, in every layout
inline constexpr std::uint8_t discard_secure_flag = 1;  ///< BLKIF_DISCARD_SECURE in `flag`

/// The two strides of slots. With 108 bytes every other slot is aligned to 4 bytes only, so shared memory is accessed
/// in words of 4 bytes in that layout and of 8 bytes in the others; a slot's last word does not reach into the next
/// slot.
inline constexpr std::size_t narrow_stride_bytes = 108;  ///< i386's layout
inline constexpr std::size_t wide_stride_bytes = 112;
inline constexpr std::size_t narrow_response_bytes = 12;  ///< id u64, operation u8, status i16; padded to words
inline constexpr std::size_t wide_response_bytes = 16;

/// Offsets in bytes from a slot's beginning, and strides.
struct Layout {
    std::size_t request_stride_bytes;  ///< one of the two above
    std::size_t id;
    std::size_t sector_number;  ///< of read, write, barrier, flush and discard
    std::size_t segments;       ///< 8 bytes each: u32 gref, u8 first, u8 last, 2 of padding
    std::size_t discard_sectors;
    std::size_t indirect_operation;  ///< u8; the segment count is the u16 after it
    std::size_t indirect_segment_count;
    std::size_t indirect_id;
    std::size_t indirect_sector_number;
    std::size_t indirect_handle;
    std::size_t indirect_refs;
    static constexpr std::size_t operation = 0;
    static constexpr std::size_t segment_count = 1;  ///< `flag` of a discard
    static constexpr std::size_t handle = 2;
    static constexpr std::size_t response_id = 0;
    static constexpr std::size_t response_operation = 8;
    static constexpr std::size_t response_status = 10;

    bool wide() const noexcept { return request_stride_bytes == wide_stride_bytes; }
    std::size_t response_size_bytes() const noexcept { return wide() ? wide_response_bytes : narrow_response_bytes; }
};
const Layout& layout_of(Protocol protocol) noexcept;

/// Indices lie at the start of the first ring page, slots 64 bytes after it (io/ring.h).
inline constexpr std::size_t ring_header_bytes = 64;
inline constexpr std::size_t request_producer_offset = 0;
inline constexpr std::size_t request_event_offset = 4;
inline constexpr std::size_t response_producer_offset = 8;
inline constexpr std::size_t response_event_offset = 12;

/// Slots of a ring of `page_count` pages: the largest power of two that fits. 1 to 16 pages.
std::size_t ring_slot_count(Protocol protocol, std::size_t page_count) noexcept;

}  // namespace blktap::ring
