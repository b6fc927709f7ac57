// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Slots to requests and back, in all layouts, next to memory that must not be touched, and under a guest that rewrites
// the slot all the time.
#include "libblktap/ring/request.hpp"

#include <atomic>
#include <cstring>
#include <sys/mman.h>
#include <thread>

#include "libblktap/base/mapping.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/ring/random_request.hpp"
#include "tests/unit/ring/ring_memory.hpp"

using namespace blktap;
using namespace blktap::ring;
using test::all_protocols;

namespace {

struct alignas(8) Slot {
    std::byte bytes[112];
    std::byte* data() noexcept { return bytes; }
};

bool same_bytes(const RawRequest& a, const RawRequest& b) noexcept {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

/// Writable memory that ends where a page begins that faults on any access.
class GuardedMemory {
  public:
    GuardedMemory() : mapping_(Mapping::anonymous(2 * page_size_bytes)) {
        if (mprotect(mapping_.data() + page_size_bytes, page_size_bytes, PROT_NONE) != 0) {
            throw_system_error("mprotect");
        }
    }
    /// The last `size_bytes` before the guard.
    std::byte* last(std::size_t size_bytes) const noexcept { return mapping_.data() + page_size_bytes - size_bytes; }

  private:
    Mapping mapping_;
};

}  // namespace

TEST_CASE("request: what is written is what is copied, in every layout", "[unit][ring][property]") {
    test::SeededRandom random;
    INFO("seed " << random.seed());
    for (int round = 0; round < 30'000; ++round) {
        const RawRequest request = test::random_request(random, 1000);
        for (const Protocol protocol : all_protocols) {
            Slot slot;
            std::memset(slot.data(), 0xa5, sizeof(slot));
            write_request(layout_of(protocol), slot.data(), request);
            if (!same_bytes(copy_request(layout_of(protocol), slot.data()), request)) {
                FAIL("operation " << int{request.operation} << " in " << protocol_name(protocol));
            }
        }
    }
}

TEST_CASE("request: copying and writing stay inside the slot's stride", "[unit][ring]") {
    const GuardedMemory memory;
    for (const Protocol protocol : all_protocols) {
        const Layout& layout = layout_of(protocol);
        std::byte* slot = memory.last(layout.request_stride_bytes);
        for (const auto operation : std::initializer_list<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 255}) {
            RawRequest request{};
            request.operation = operation;
            slot[-1] = std::byte{0x77};
            write_request(layout, slot, request);
            CHECK(copy_request(layout, slot).operation == operation);
            CHECK(slot[-1] == std::byte{0x77});
        }
    }
}

TEST_CASE("request: a discard's sector count lies at byte 20 for a 32-bit guest and 24 for a 64-bit one",
          "[unit][ring]") {
    for (const auto& [protocol, offset] : {std::pair{Protocol::x86_32, 20}, std::pair{Protocol::x86_64, 24}}) {
        Slot slot{};
        slot.bytes[0] = std::byte{5};
        slot.bytes[1] = std::byte{1};
        const std::uint64_t sector_count = 0x1122334455667788;
        std::memcpy(slot.data() + offset, &sector_count, sizeof(sector_count));
        const RawRequest request = copy_request(layout_of(protocol), slot.data());
        CHECK(request.discard_sectors == sector_count);
        CHECK(request.discard_flag == 1);
        CHECK(request.segment_count == 0);
    }
}

TEST_CASE("request: an indirect request's response names the inner operation", "[unit][ring]") {
    RawRequest request{};
    request.operation = 6;
    request.indirect_operation = 1;
    CHECK(request.response_operation() == 1);
    request.operation = 77;
    CHECK(request.response_operation() == 77);
}

TEST_CASE("response: its padding is zero and nothing after it is touched", "[unit][ring][XSA-216]") {
    for (const Protocol protocol : all_protocols) {
        const Layout& layout = layout_of(protocol);
        Slot slot;
        std::memset(slot.data(), 0xa5, sizeof(slot));
        write_response(layout, slot.data(), {0x0102030405060708, 6, Status::not_supported});

        const std::size_t size_bytes = protocol == Protocol::x86_32 ? 12 : 16;
        CHECK(slot.bytes[9] == std::byte{0});
        for (std::size_t i = 12; i < size_bytes; ++i)
            CHECK(slot.bytes[i] == std::byte{0});
        for (std::size_t i = size_bytes; i < sizeof(slot); ++i)
            CHECK(slot.bytes[i] == std::byte{0xa5});

        const Response response = copy_response(layout, slot.data());
        CHECK(response.id == 0x0102030405060708);
        CHECK(response.operation == 6);
        CHECK(response.status == Status::not_supported);
    }
}

TEST_CASE("request: a guest that rewrites the slot meanwhile never makes a copy that disagrees with itself",
          "[unit][ring][XSA-155]") {
    const Layout& layout = layout_of(Protocol::x86_32);
    Slot slot{};
    std::atomic<bool> done = false;
    // Every word of the slot always holds one byte, the operation, repeated: a copy that read the operation twice would
    // mix the fields of two of them.
    std::thread guest([&] {
        const auto* words = reinterpret_cast<std::uint32_t*>(slot.data());
        for (std::uint32_t round = 0; !done.load(std::memory_order_relaxed); ++round) {
            const std::uint32_t operation = round % 2 == 0 ? 5 : 6;
            std::atomic_ref(const_cast<std::uint32_t&>(words[0]))
                .store(operation * 0x01010101u, std::memory_order_relaxed);
        }
    });
    int mixed = 0;
    for (int round = 0; round < 300'000; ++round) {
        const RawRequest request = copy_request(layout, slot.data());
        const bool discard = request.operation == 5 && request.discard_flag == 5 && request.indirect_operation == 0 &&
                             request.segment_count == 0 && request.handle == 0x0505;
        const bool indirect = request.operation == 6 && request.indirect_operation == 6 && request.discard_flag == 0 &&
                              request.segment_count == 0x0606 && request.handle == 0;
        const bool untouched = request.operation == 0;
        mixed += !discard && !indirect && !untouched;
    }
    done = true;
    guest.join();
    CHECK(mixed == 0);
}
