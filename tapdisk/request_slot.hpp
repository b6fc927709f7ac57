// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RequestSlot: everything about one request from the moment it is copied from the ring until its response is visible.
// A queue has as many slots as its ring, made at connect: a guest cannot have more requests under way than slots.
#pragma once

#include <cstdint>
#include <span>
#include <system_error>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/parent_from_member.hpp>

#include "libblktap/base/clock.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/ring/judge.hpp"
#include "tapdisk/page_pool.hpp"
#include "tapdisk/range_guard.hpp"

namespace blktap {

class RequestEngine;

struct StageTag;
struct LiveTag;
using StageHook = boost::intrusive::list_base_hook<boost::intrusive::tag<StageTag>>;
using LiveHook = boost::intrusive::list_base_hook<boost::intrusive::tag<LiveTag>>;

struct RequestSlot : StageHook, LiveHook {
    /// The steps of a request that the driver sees; most have one.
    enum class Phase : std::uint8_t {
        flush_before,  ///< barrier, or flush with data: what was written before is made durable
        data,          ///< the read, write, discard or plain flush itself
        flush_after,   ///< barrier, or flush with data: its own data is made durable
    };
    /// Where the data of the driver's iovecs is.
    enum class Memory : std::uint8_t { none, pooled, mapped };
    /// What the storage lacks for this request.
    enum class Lack : std::uint8_t { nothing, space, health };

    /// Inline room is for direct requests; the larger arrays of an indirect one lie in its queue's tables.
    static constexpr std::size_t inline_max = ring::segments_direct_max;

    // Fixed at connect.
    RequestEngine* engine = nullptr;
    std::uint16_t index = 0;  ///< in its queue, and of its slot in the recovery log
    std::uint16_t queue = 0;

    // Set when the request is taken from the ring.
    std::uint64_t sequence = 0;             ///< order over all queues
    const ring::RawRequest* raw = nullptr;  ///< the private copy, in the recovery log
    ring::Judged judged{};
    std::span<const ring::Segment> segments{};

    // While it is served.
    Phase phase = Phase::data;
    Memory memory = Memory::none;
    Lack lack = Lack::nothing;     ///< why it was parked, at least once
    Nanoseconds waits_since{0};    ///< parked for the first time, by the engine's clock
    bool drains = false;           ///< a barrier: everything before it is answered first
    std::uint16_t copy_count = 0;  ///< pieces in the grant copy under way
    std::uint16_t run_count = 0;
    std::span<PageRun> runs{};  ///< room for the pooled pages; run_count are taken
    std::span<iovec> iovecs{};  ///< room for the driver's view
    RangeGuard::Claim claim{};
    ImageRequest image{};
    std::error_code result{};

    PageRun inline_runs[inline_max]{};
    iovec inline_iovecs[inline_max]{};

    bool reads() const noexcept { return judged.operation == ring::Operation::read; }
    /// A flush without data, as Linux sends it.
    bool plain_flush() const noexcept {
        return judged.operation == ring::Operation::flush_diskcache && judged.range.count == 0;
    }
    /// Must not overtake a barrier: everything that changes the disk.
    bool changes_disk() const noexcept {
        return judged.operation == ring::Operation::write || judged.operation == ring::Operation::write_barrier ||
               judged.operation == ring::Operation::discard ||
               (judged.operation == ring::Operation::flush_diskcache && judged.range.count != 0);
    }
};

/// The slot of which this is a member.
inline RequestSlot& slot_of(RangeGuard::Claim& claim) noexcept {
    return *boost::intrusive::get_parent_from_member(&claim, &RequestSlot::claim);
}
inline RequestSlot& slot_of(ImageRequest& image) noexcept {
    return *boost::intrusive::get_parent_from_member(&image, &RequestSlot::image);
}

/// The slots that wait for one thing, in order. A slot is in at most one.
using StageList = boost::intrusive::list<RequestSlot, boost::intrusive::base_hook<StageHook>>;
inline RequestSlot& take_first(StageList& list) noexcept {
    RequestSlot& slot = list.front();
    list.pop_front();
    return slot;
}
/// Every slot that was consumed and not finished, in order of consumption.
using LiveList = boost::intrusive::list<RequestSlot, boost::intrusive::base_hook<LiveHook>>;

}  // namespace blktap
