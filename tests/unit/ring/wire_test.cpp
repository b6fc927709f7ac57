// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The wire's names and sizes.
#include "libblktap/ring/wire.hpp"

#include "tests/support/catch.hpp"
#include "tests/unit/ring/ring_memory.hpp"

using namespace blktap::ring;
using blktap::test::all_protocols;

TEST_CASE("wire: every protocol's name parses to the protocol", "[unit][ring]") {
    for (const Protocol protocol : all_protocols)
        CHECK(parse_protocol(protocol_name(protocol)) == protocol);
}

TEST_CASE("wire: an unknown protocol is absent and not a guess", "[unit][ring]") {
    for (const char* text : {"", "x86_32", "x86_64-abi ", "X86_64-ABI", "powerpc64-abi", "native-abi"}) {
        CHECK_FALSE(parse_protocol(text).has_value());
    }
}

TEST_CASE("wire: a ring of 1, 2, 4, 8 and 16 pages has 32, 64, 128, 256 and 512 slots", "[unit][ring]") {
    for (const Protocol protocol : all_protocols) {
        for (const auto page_count : std::initializer_list<std::size_t>{1, 2, 4, 8, 16}) {
            CHECK(ring_slot_count(protocol, page_count) == 32 * page_count);
        }
    }
    CHECK(ring_slot_count(Protocol::native, ring_pages_max) == ring_slots_max);
}

TEST_CASE("wire: a ring of an odd number of pages rounds its slots down to a power of two", "[unit][ring]") {
    for (const Protocol protocol : all_protocols) {
        CHECK(ring_slot_count(protocol, 3) == 64);
        CHECK(ring_slot_count(protocol, 15) == 512);
        CHECK(ring_slot_count(protocol, 9) == 256);
    }
}

TEST_CASE("wire: on a 64-bit host the native layout is that of x86_64", "[unit][ring]") {
    if (sizeof(void*) != 8) return;
    const Layout& native = layout_of(Protocol::native);
    const Layout& wide = layout_of(Protocol::x86_64);
    CHECK(native.request_stride_bytes == wide.request_stride_bytes);
    CHECK(native.id == wide.id);
    CHECK(native.sector_number == wide.sector_number);
    CHECK(native.segments == wide.segments);
    CHECK(native.discard_sectors == wide.discard_sectors);
    CHECK(native.indirect_operation == wide.indirect_operation);
    CHECK(native.indirect_segment_count == wide.indirect_segment_count);
    CHECK(native.indirect_id == wide.indirect_id);
    CHECK(native.indirect_sector_number == wide.indirect_sector_number);
    CHECK(native.indirect_handle == wide.indirect_handle);
    CHECK(native.indirect_refs == wide.indirect_refs);
    CHECK(native.response_size_bytes() == wide.response_size_bytes());
}
