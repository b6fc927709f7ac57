// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A request as it was copied from the ring: the same struct for every layout, in private memory, not yet judged. It is
// trivially copyable and of fixed size because slots of the recovery log hold it (docs/formats/recovery-log.md).
//
// Tested by tests/unit/ring/request_test.cpp and abi_test.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "libblktap/ring/wire.hpp"

namespace blktap::ring {

/// Sectors [first_sector, last_sector] of the page behind `gref`; as the guest wrote it.
struct Segment {
    std::uint32_t gref;
    std::uint8_t first_sector;
    std::uint8_t last_sector;
    std::uint16_t padding;

    /// Only for a judged segment.
    constexpr std::uint32_t sector_count() const noexcept { return last_sector - first_sector + 1u; }
};
static_assert(sizeof(Segment) == 8);

struct RawRequest {
    std::uint64_t id;
    std::uint64_t sector_number;
    std::uint64_t discard_sectors;    ///< discard only
    std::uint8_t operation;           ///< as on the wire, any value
    std::uint8_t indirect_operation;  ///< indirect only: the inner operation
    std::uint8_t discard_flag;        ///< discard only
    std::uint8_t reserved;
    std::uint16_t segment_count;  ///< as on the wire: 0..255, indirect 0..65535
    std::uint16_t handle;
    union {
        std::array<Segment, segments_direct_max> segments;               ///< read, write, barrier, flush
        std::array<std::uint32_t, indirect_refs_in_slot> indirect_refs;  ///< indirect
    };

    bool indirect() const noexcept { return operation == static_cast<std::uint8_t>(Operation::indirect); }
    /// The operation for the response: the inner operation of an indirect request (a Linux frontend disables the disk
    /// on a response that says "indirect"), the operation itself otherwise.
    std::uint8_t response_operation() const noexcept { return indirect() ? indirect_operation : operation; }
};
static_assert(sizeof(RawRequest) == 120 && std::is_trivially_copyable_v<RawRequest>);

struct Response {
    std::uint64_t id;
    std::uint8_t operation;
    Status status;
};

/// Copies the request in the slot at `slot`. Every byte of shared memory is read only once, so that the judged bytes
/// are the bytes that are used. `slot` points to shared memory that may change at any moment, aligned as in a ring: to
/// 4 bytes in i386's layout, else to 8. The same holds for the functions below.
RawRequest copy_request(const Layout& layout, const volatile std::byte* slot) noexcept;
/// Writes a request into a slot, for frontends. Fields that the operation does not have are written as zeros.
void write_request(const Layout& layout, volatile std::byte* slot, const RawRequest& request) noexcept;
/// Writes a response with its padding zeroed (XSA-216).
void write_response(const Layout& layout, volatile std::byte* slot, const Response& response) noexcept;
Response copy_response(const Layout& layout, const volatile std::byte* slot) noexcept;

}  // namespace blktap::ring
