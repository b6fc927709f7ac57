// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Traffic: the Pump's interface for choosing requests and judging their answers. Generated load, copying a disk in or
// out, and a recorded trace are each one Traffic.
#pragma once

#include <cstdint>
#include <span>

#include "libblktap/base/clock.hpp"
#include "libblktap/ring/request.hpp"
#include "libblktap/xen/grant_table.hpp"

namespace blktap::replay {

/// The sectors of one page that a segment means; judged by nobody here.
struct SegmentShape {
    std::uint8_t first = 0;
    std::uint8_t last = 7;
};

/// One request to make.
struct Work {
    std::uint8_t operation = 0;  ///< as on the wire; the inner one when `indirect`
    bool indirect = false;
    std::uint16_t segment_count = 0;  ///< as on the wire; may lie about `shape`
    std::uint64_t sector = 0;
    std::uint64_t discard_sectors = 0;
    std::span<const SegmentShape> shape{};  ///< valid until next() is called again; at most a slot's pages
};

/// A place for one request in flight, with granted pages of its own that every request in it uses again.
struct Slot {
    unsigned queue = 0;
    std::uint64_t id = 0;  ///< of the request that is, or is about to be, in flight
    Work work{};
    std::span<std::byte> data{};            ///< page i belongs to segment i
    std::span<const xen::GrantRef> refs{};  ///< of `data`
    ring::Segment* descriptors = nullptr;   ///< a page for an indirect request's segments
    xen::GrantRef descriptors_ref = 0;
    Nanoseconds started{0};
    std::uint64_t data_bytes = 0;  ///< of the request in flight
    bool busy = false;
    std::uint64_t tag = 0;  ///< the traffic's own
};

/// Bytes that the segments of `work` cover.
std::uint64_t work_bytes(const Work& work) noexcept;
/// The request as it goes into the ring; the descriptors of an indirect one are written on the way.
ring::RawRequest make_request(const Slot& slot) noexcept;

class Traffic {
  public:
    enum class Next {
        request,   ///< slot.work is set, and slot.data for a write
        later,     ///< nothing before an answer arrives or wake_at() has come
        finished,  ///< nothing any more, on any queue
    };
    virtual ~Traffic() = default;
    /// What to ask next on `slot.queue`. Must not allocate.
    virtual Next next(Slot& slot, Nanoseconds now) = 0;
    /// The answer to slot.work; the slot is free afterwards. Errors: throws Failure to end the run.
    virtual void completed(Slot& slot, ring::Status status) = 0;
    /// When, after `now`, next() wants to be asked again although no answer arrived.
    virtual Nanoseconds wake_at(Nanoseconds now) const noexcept {
        static_cast<void>(now);
        return Nanoseconds::max();
    }
    /// The user wants to stop: next() says finished from now on.
    virtual void stop() noexcept = 0;
};

}  // namespace blktap::replay
