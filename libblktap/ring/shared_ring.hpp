// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SharedRing: where the four indices and the slots lie in a ring's pages; both halves of a ring share it. Who reads and
// writes them, and in which order, is in back_ring.hpp and front_ring.hpp.
//
// Tested by tests/unit/ring/back_ring_test.cpp, front_ring_test.cpp and abi_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "libblktap/base/units.hpp"
#include "libblktap/ring/shared_index.hpp"
#include "libblktap/ring/wire.hpp"

namespace blktap::ring {

struct SharedRing {
    /// `pages` is contiguous, 1 to 16 pages, and outlives this object. The pages are not accessed here.
    SharedRing(std::span<std::byte> pages, Protocol protocol) noexcept
        : layout(&layout_of(protocol)),
          base(pages.data()),
          slot_count(static_cast<std::uint32_t>(ring_slot_count(protocol, pages.size() / page_size_bytes))),
          request_producer(base + request_producer_offset),
          request_event(base + request_event_offset),
          response_producer(base + response_producer_offset),
          response_event(base + response_event_offset) {}

    /// The slot of a free-running index.
    volatile std::byte* slot(std::uint32_t index) const noexcept {
        return base + ring_header_bytes + (index & (slot_count - 1)) * layout->request_stride_bytes;
    }

    const Layout* layout;
    std::byte* base;
    std::uint32_t slot_count;
    SharedIndex request_producer, request_event, response_producer, response_event;
};

}  // namespace blktap::ring
