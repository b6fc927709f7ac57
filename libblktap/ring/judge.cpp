// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The checks, in the order of judge.hpp.
#include "libblktap/ring/judge.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap::ring {
namespace {

bool is_known(std::uint8_t operation) noexcept {
    switch (static_cast<Operation>(operation)) {
        case Operation::read:
        case Operation::write:
        case Operation::write_barrier:
        case Operation::flush_diskcache:
        case Operation::discard:
        case Operation::indirect:
            return true;
    }
    return false;
}

/// Returns the operation to serve, or the error if it is unknown or not offered.
Result<Operation> judge_operation(const RawRequest& request, const DeviceRules& rules) noexcept {
    if (!is_known(request.operation)) return Errc::unsupported_operation;
    const auto operation = static_cast<Operation>(request.operation);
    if (operation == Operation::discard) {
        // Secure discard is not offered, and a plain discard instead would let the guest believe that the data is gone.
        if (!rules.discard || (request.discard_flag & discard_secure_flag) != 0) return Errc::unsupported_operation;
    }
    if (operation != Operation::indirect) return operation;

    if (rules.indirect_segments_max == 0) return Errc::unsupported_operation;
    // An error and not "unsupported", whatever the inner operation is: indirect itself is offered.
    const auto inner = static_cast<Operation>(request.indirect_operation);
    if (inner != Operation::read && inner != Operation::write) return Errc::bad_indirect;
    return inner;
}

/// An empty flush writes nothing. An empty barrier counts as a write all the same.
bool needs_write_access(Operation operation, const RawRequest& request) noexcept {
    if (operation == Operation::read) return false;
    return operation != Operation::flush_diskcache || request.segment_count != 0;
}

bool segment_count_allowed(Operation operation, const RawRequest& request, const DeviceRules& rules) noexcept {
    const bool may_be_empty = operation == Operation::flush_diskcache || operation == Operation::write_barrier;
    const std::size_t count_max = request.indirect() ? rules.indirect_segments_max : segments_direct_max;
    return request.segment_count <= count_max && (request.segment_count > 0 || may_be_empty);
}

/// Returns the range that `segments`, at least one, cover from the request's first sector on.
Result<SectorRange> judge_segments(const RawRequest& request, std::span<const Segment> segments,
                                   const DeviceRules& rules) noexcept {
    SectorRange range{request.sector_number, 0};
    for (const Segment& segment : segments) {
        const bool inside_page = segment.first_sector <= segment.last_sector && segment.last_sector < sectors_per_page;
        if (!inside_page) return Errc::bad_segment;
        range.count += segment.sector_count();
    }
    if (!range.fits(rules.size_sectors)) return Errc::out_of_range;
    return range;
}

/// An empty discard, which no frontend sends, is refused, so that no driver ever gets an empty range.
Result<SectorRange> judge_discard_range(const RawRequest& request, const DeviceRules& rules) noexcept {
    const SectorRange range{request.sector_number, request.discard_sectors};
    if (range.count == 0 || !range.fits(rules.size_sectors)) return Errc::out_of_range;
    return range;
}

}  // namespace

Result<Judged> judge(const RawRequest& request, const DeviceRules& rules) noexcept {
    const Result<Operation> operation = judge_operation(request, rules);
    if (!operation) return operation.error();
    if (rules.read_only && needs_write_access(operation.value(), request)) return Errc::read_only;

    Judged judged{operation.value(), {}, request.segment_count, request.indirect()};
    if (judged.operation == Operation::discard) {
        judged.segment_count = 0;
        const Result<SectorRange> range = judge_discard_range(request, rules);
        if (!range) return range.error();
        judged.range = range.assume_value();
        return judged;
    }

    if (!segment_count_allowed(judged.operation, request, rules)) return Errc::bad_segment_count;
    // The sector number of an empty flush has no meaning; Linux sets it to -1.
    if (request.indirect() || request.segment_count == 0) return judged;

    const Result<SectorRange> range =
        judge_segments(request, std::span(request.segments).first(request.segment_count), rules);
    if (!range) return range.error();
    judged.range = range.assume_value();
    return judged;
}

Result<Judged> judge_indirect(const RawRequest& request, std::span<const Segment> segments,
                              const DeviceRules& rules) noexcept {
    BLKTAP_ASSERT(request.indirect() && segments.size() == request.segment_count && !segments.empty());
    const Result<SectorRange> range = judge_segments(request, segments, rules);
    if (!range) return range.error();
    return Judged{static_cast<Operation>(request.indirect_operation), range.assume_value(), request.segment_count,
                  false};
}

}  // namespace blktap::ring
