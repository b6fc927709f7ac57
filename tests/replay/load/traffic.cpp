// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// From a slot's work to the request in the ring.
#include "tests/replay/load/traffic.hpp"

#include <algorithm>

#include "libblktap/base/units.hpp"

namespace blktap::replay {
namespace {

void put_segments(const Slot& slot, std::span<ring::Segment> out) noexcept {
    for (std::size_t i = 0; i < std::min(out.size(), slot.work.shape.size()); ++i)
        out[i] = {slot.refs[i], slot.work.shape[i].first, slot.work.shape[i].last, 0};
}

}  // namespace

std::uint64_t work_bytes(const Work& work) noexcept {
    std::uint64_t sectors = 0;
    for (const SegmentShape& segment : work.shape)
        sectors += segment.last - segment.first + 1u;
    return sectors * sector_size_bytes;
}

ring::RawRequest make_request(const Slot& slot) noexcept {
    const Work& work = slot.work;
    ring::RawRequest request{};
    request.id = slot.id;
    request.sector_number = work.sector;
    request.discard_sectors = work.discard_sectors;
    request.segment_count = work.segment_count;
    if (work.indirect) {
        request.operation = static_cast<std::uint8_t>(ring::Operation::indirect);
        request.indirect_operation = work.operation;
        request.indirect_refs.fill(slot.descriptors_ref);
        put_segments(slot, {slot.descriptors, ring::segments_per_indirect_page});
    } else {
        request.operation = work.operation;
        put_segments(slot, request.segments);
    }
    return request;
}

}  // namespace blktap::replay
