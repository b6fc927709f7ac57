// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Compares our wire with Xen's own headers, number by number, and our rings with Xen's ring macros. The only file here
// that includes headers of Xen. They do not support a 32-bit guest on a 64-bit host, so i386's layout is checked
// against the same structs packed to 4 bytes, as that ABI lays them out.
#include <cstddef>
#include <cstdint>
#include <cstring>

// Xen's macros are expanded here and are not written for these warnings.
#pragma GCC diagnostic ignored "-Wconversion"
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-statement-expression-from-macro-expansion"
#endif
#define xen_mb() __sync_synchronize()
#define xen_rmb() __sync_synchronize()
#define xen_wmb() __sync_synchronize()
#define __XEN_TOOLS__ 1
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>
#include <xen/xen.h>

#include "libblktap/ring/back_ring.hpp"
#include "libblktap/ring/front_ring.hpp"
#include "libblktap/ring/judge.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/ring/ring_memory.hpp"

using namespace blktap;
using namespace blktap::ring;

#pragma pack(push, 4)
struct packed_request {
    uint8_t operation;
    uint8_t nr_segments;
    blkif_vdev_t handle;
    uint64_t id;
    blkif_sector_t sector_number;
    struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};
struct packed_discard {
    uint8_t operation;
    uint8_t flag;
    blkif_vdev_t handle;
    uint64_t id;
    blkif_sector_t sector_number;
    uint64_t nr_sectors;
};
struct packed_indirect {
    uint8_t operation;
    uint8_t indirect_op;
    uint16_t nr_segments;
    uint64_t id;
    blkif_sector_t sector_number;
    blkif_vdev_t handle;
    grant_ref_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
};
struct packed_response {
    uint64_t id;
    uint8_t operation;
    int16_t status;
};
DEFINE_RING_TYPES(packed, struct packed_request, struct packed_response);
#pragma pack(pop)

namespace {

template <class Request, class Discard, class Indirect, class Answer>
void check_layout(const Layout& layout) {
    CHECK(layout.request_stride_bytes == sizeof(Request));
    CHECK(layout.response_size_bytes() == sizeof(Answer));
    CHECK(sizeof(Indirect) <= sizeof(Request));
    CHECK(Layout::operation == offsetof(Request, operation));
    CHECK(Layout::segment_count == offsetof(Request, nr_segments));
    CHECK(Layout::handle == offsetof(Request, handle));
    CHECK(layout.id == offsetof(Request, id));
    CHECK(layout.sector_number == offsetof(Request, sector_number));
    CHECK(layout.segments == offsetof(Request, seg));
    CHECK(Layout::segment_count == offsetof(Discard, flag));
    CHECK(Layout::handle == offsetof(Discard, handle));
    CHECK(layout.id == offsetof(Discard, id));
    CHECK(layout.sector_number == offsetof(Discard, sector_number));
    CHECK(layout.discard_sectors == offsetof(Discard, nr_sectors));
    CHECK(layout.indirect_operation == offsetof(Indirect, indirect_op));
    CHECK(layout.indirect_segment_count == offsetof(Indirect, nr_segments));
    CHECK(layout.indirect_id == offsetof(Indirect, id));
    CHECK(layout.indirect_sector_number == offsetof(Indirect, sector_number));
    CHECK(layout.indirect_handle == offsetof(Indirect, handle));
    CHECK(layout.indirect_refs == offsetof(Indirect, indirect_grefs));
    CHECK(Layout::response_id == offsetof(Answer, id));
    CHECK(Layout::response_operation == offsetof(Answer, operation));
    CHECK(Layout::response_status == offsetof(Answer, status));
}

/// Xen's structs and macros of one layout, as a frontend uses them.
struct Wide {
    using Shared = blkif_sring_t;
    using Front = blkif_front_ring_t;
    using Back = blkif_back_ring_t;
    using Indirect = blkif_request_indirect_t;
    using Discard = blkif_request_discard_t;
    static constexpr Protocol protocol = Protocol::native;
};
struct Packed {
    using Shared = packed_sring_t;
    using Front = packed_front_ring_t;
    using Back = packed_back_ring_t;
    using Indirect = packed_indirect;
    using Discard = packed_discard;
    static constexpr Protocol protocol = Protocol::x86_32;
};

}  // namespace

TEST_CASE("abi: the layouts are those of Xen's structs", "[unit][ring][abi]") {
    check_layout<blkif_request_t, blkif_request_discard_t, blkif_request_indirect_t, blkif_response_t>(
        layout_of(Protocol::native));
    if (sizeof(void*) == 8) {
        check_layout<blkif_request_t, blkif_request_discard_t, blkif_request_indirect_t, blkif_response_t>(
            layout_of(Protocol::x86_64));
    }
    check_layout<packed_request, packed_discard, packed_indirect, packed_response>(layout_of(Protocol::x86_32));
}

TEST_CASE("abi: a segment is Xen's segment", "[unit][ring][abi]") {
    CHECK(sizeof(Segment) == sizeof(blkif_request_segment));
    CHECK(offsetof(Segment, gref) == offsetof(blkif_request_segment, gref));
    CHECK(offsetof(Segment, first_sector) == offsetof(blkif_request_segment, first_sect));
    CHECK(offsetof(Segment, last_sector) == offsetof(blkif_request_segment, last_sect));
}

TEST_CASE("abi: operations, statuses and limits have Xen's values", "[unit][ring][abi]") {
    CHECK(static_cast<int>(Operation::read) == BLKIF_OP_READ);
    CHECK(static_cast<int>(Operation::write) == BLKIF_OP_WRITE);
    CHECK(static_cast<int>(Operation::write_barrier) == BLKIF_OP_WRITE_BARRIER);
    CHECK(static_cast<int>(Operation::flush_diskcache) == BLKIF_OP_FLUSH_DISKCACHE);
    CHECK(static_cast<int>(Operation::discard) == BLKIF_OP_DISCARD);
    CHECK(static_cast<int>(Operation::indirect) == BLKIF_OP_INDIRECT);
    CHECK(static_cast<int>(Status::okay) == BLKIF_RSP_OKAY);
    CHECK(static_cast<int>(Status::error) == BLKIF_RSP_ERROR);
    CHECK(static_cast<int>(Status::not_supported) == BLKIF_RSP_EOPNOTSUPP);
    CHECK(segments_direct_max == BLKIF_MAX_SEGMENTS_PER_REQUEST);
    CHECK(indirect_refs_in_slot == BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST);
    CHECK(discard_secure_flag == BLKIF_DISCARD_SECURE);
    CHECK(segments_per_indirect_page == page_size_bytes / sizeof(blkif_request_segment));
}

TEST_CASE("abi: Xen's names of the x86 protocols are known", "[unit][ring][abi]") {
    CHECK(parse_protocol(XEN_IO_PROTO_ABI_X86_32) == Protocol::x86_32);
    CHECK(parse_protocol(XEN_IO_PROTO_ABI_X86_64) == Protocol::x86_64);
    CHECK(parse_protocol(XEN_IO_PROTO_ABI_NATIVE).has_value());
}

TEMPLATE_TEST_CASE("abi: the ring's header and slot count are Xen's", "[unit][ring][abi]", Wide, Packed) {
    using Shared = typename TestType::Shared;
    CHECK(request_producer_offset == offsetof(Shared, req_prod));
    CHECK(request_event_offset == offsetof(Shared, req_event));
    CHECK(response_producer_offset == offsetof(Shared, rsp_prod));
    CHECK(response_event_offset == offsetof(Shared, rsp_event));
    CHECK(ring_header_bytes == offsetof(Shared, ring));
    test::RingMemory memory;
    auto* shared = reinterpret_cast<Shared*>(memory.pages().data());
    for (std::size_t page_count = 1; page_count <= ring_pages_max; ++page_count) {
        CHECK(ring_slot_count(TestType::protocol, page_count) == __RING_SIZE(shared, page_count * page_size_bytes));
    }
}

TEMPLATE_TEST_CASE("abi: Xen's frontend macros talk to our back ring", "[unit][ring][abi]", Wide, Packed) {
    for (const auto page_count : std::initializer_list<std::size_t>{1, 4, 16}) {
        test::RingMemory memory(page_count);
        auto* shared = reinterpret_cast<typename TestType::Shared*>(memory.pages().data());
        typename TestType::Front front;
        XEN_FRONT_RING_INIT(&front, shared, memory.pages().size());
        BackRing back(memory.pages(), TestType::protocol);
        REQUIRE(RING_SIZE(&front) == back.slot_count());

        for (std::uint64_t id = 0; id < 3 * RING_SIZE(&front); ++id) {
            int work = 0;
            bool notify = false;
            CHECK_FALSE(back.rearm());
            auto* request = RING_GET_REQUEST(&front, front.req_prod_pvt);
            *request = {};
            request->operation = BLKIF_OP_WRITE;
            request->nr_segments = 11;
            request->handle = 51712;
            request->id = ~id;
            request->sector_number = id << 32;
            request->seg[10] = {77, 1, 6};
            ++front.req_prod_pvt;
            RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&front, notify);
            CHECK(notify);

            REQUIRE(back.pending_requests().value() == 1);
            const RawRequest copy = back.consume();
            CHECK(copy.operation == BLKIF_OP_WRITE);
            CHECK(copy.segment_count == 11);
            CHECK(copy.handle == 51712);
            CHECK(copy.id == ~id);
            CHECK(copy.sector_number == id << 32);
            CHECK(copy.segments[10].gref == 77);
            CHECK(copy.segments[10].first_sector == 1);
            CHECK(copy.segments[10].last_sector == 6);

            RING_FINAL_CHECK_FOR_RESPONSES(&front, work);
            CHECK(work == 0);
            back.put_response({copy.id, copy.response_operation(), Status::not_supported});
            CHECK(back.publish());
            REQUIRE(XEN_RING_NR_UNCONSUMED_RESPONSES(&front) == 1);
            const auto* response = RING_GET_RESPONSE(&front, front.rsp_cons);
            CHECK(std::uint64_t{response->id} == ~id);  // a copy: packed, it is not aligned
            CHECK(response->operation == BLKIF_OP_WRITE);
            CHECK(response->status == BLKIF_RSP_EOPNOTSUPP);
            ++front.rsp_cons;
        }
    }
}

TEMPLATE_TEST_CASE("abi: our front ring talks to Xen's backend macros", "[unit][ring][abi]", Wide, Packed) {
    test::RingMemory memory;
    FrontRing front(memory.pages(), TestType::protocol);
    auto* shared = reinterpret_cast<typename TestType::Shared*>(memory.pages().data());
    typename TestType::Back back;
    BACK_RING_INIT(&back, shared, memory.pages().size());

    for (std::uint64_t id = 0; id < 100; ++id) {
        int work = 0;
        bool notify = false;
        RING_FINAL_CHECK_FOR_REQUESTS(&back, work);
        CHECK(work == 0);
        RawRequest request{};
        request.id = id;
        request.segment_count = 1;
        request.segments[0] = {5, 2, 3, 0};
        front.put_request(request);
        CHECK(front.publish());
        REQUIRE(XEN_RING_NR_UNCONSUMED_REQUESTS(&back) == 1);
        const auto* seen = RING_GET_REQUEST(&back, back.req_cons);
        CHECK(std::uint64_t{seen->id} == id);
        CHECK(seen->seg[0].last_sect == 3);
        ++back.req_cons;

        CHECK_FALSE(front.rearm());
        auto* response = RING_GET_RESPONSE(&back, back.rsp_prod_pvt);
        *response = {};
        response->id = id;
        response->status = BLKIF_RSP_ERROR;
        ++back.rsp_prod_pvt;
        RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&back, notify);
        CHECK(notify);
        const auto taken = front.take_response().value();
        REQUIRE(taken.has_value());
        CHECK(taken->id == id);
        CHECK(taken->status == Status::error);
    }
}

TEMPLATE_TEST_CASE("abi: Xen's discard and indirect structs are read field by field", "[unit][ring][abi]", Wide,
                   Packed) {
    alignas(8) std::byte slot[112]{};
    typename TestType::Discard discard{};
    discard.operation = BLKIF_OP_DISCARD;
    discard.flag = BLKIF_DISCARD_SECURE;
    discard.handle = 3;
    discard.id = 4;
    discard.sector_number = 5;
    discard.nr_sectors = 0x1122334455667788;
    std::memcpy(slot, &discard, sizeof(discard));
    const RawRequest first = copy_request(layout_of(TestType::protocol), slot);
    CHECK(first.discard_flag == BLKIF_DISCARD_SECURE);
    CHECK(first.handle == 3);
    CHECK(first.id == 4);
    CHECK(first.sector_number == 5);
    CHECK(first.discard_sectors == 0x1122334455667788);

    typename TestType::Indirect indirect{};
    indirect.operation = BLKIF_OP_INDIRECT;
    indirect.indirect_op = BLKIF_OP_WRITE;
    indirect.nr_segments = 0x1234;
    indirect.id = 6;
    indirect.sector_number = 7;
    indirect.handle = 8;
    for (std::uint32_t i = 0; i < 8; ++i)
        indirect.indirect_grefs[i] = 100 + i;
    std::memcpy(slot, &indirect, sizeof(indirect));
    const RawRequest second = copy_request(layout_of(TestType::protocol), slot);
    CHECK(second.response_operation() == BLKIF_OP_WRITE);
    CHECK(second.segment_count == 0x1234);
    CHECK(second.id == 6);
    CHECK(second.sector_number == 7);
    CHECK(second.handle == 8);
    for (std::uint32_t i = 0; i < 8; ++i)
        CHECK(second.indirect_refs[i] == 100 + i);
}
