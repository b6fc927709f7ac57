// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RequestSlot: the state of one request from the moment it is copied from the ring until its response is visible. A
// queue has as many slots as its ring, made at connect: a guest cannot have more requests under way than slots.
#pragma once

#include <cstdint>
#include <span>

#include "libblktap/ring/judge.hpp"
#include "tapdisk/disk/disk_request.hpp"
#include "tapdisk/ring/page_pool.hpp"

namespace blktap {

struct RequestSlot : DiskRequest {
    /// Where the data of the driver's iovecs is.
    enum class Memory : std::uint8_t { none, pooled, mapped };

    /// Inline room is for direct requests; the larger arrays of an indirect one lie in its queue's tables.
    static constexpr std::size_t inline_max = ring::segments_direct_max;

    // Fixed at connect.
    std::uint16_t index = 0;  ///< in its queue, and in the queue's recovery log
    std::uint16_t queue = 0;

    // Set when the request is taken from the ring.
    const ring::RawRequest* raw = nullptr;  ///< the private copy, in the recovery log
    std::span<const ring::Segment> segments{};
    bool needs_descriptors = false;

    // While it is served.
    Memory memory = Memory::none;
    std::uint16_t copy_count = 0;  ///< pieces in the grant copy under way
    std::uint16_t run_count = 0;
    /// Room for the pooled pages, run_count of them in use; or for the entry of each segment's mapped page.
    std::span<PageRun> runs{};
    std::span<iovec> iovecs{};  ///< room for the driver's view

    PageRun inline_runs[inline_max]{};
    iovec inline_iovecs[inline_max]{};

    bool reads() const noexcept { return kind == Kind::read; }
};

/// Returns the slot that contains `request`. Only for requests of a RingClient.
inline RequestSlot& slot_of(DiskRequest& request) noexcept {
    return static_cast<RequestSlot&>(request);
}

}  // namespace blktap
