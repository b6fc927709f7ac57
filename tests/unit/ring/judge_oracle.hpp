// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// An oracle for judge(), written naively: every rule by itself, sectors walked one by one. For the property tests and
// the fuzzer.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <vector>

#include "libblktap/ring/judge.hpp"

namespace blktap::test {

/// True when some sector of the walk through `segments` lies outside a device of `size_sectors`.
inline bool walks_off_device(std::uint64_t position, std::span<const ring::Segment> segments,
                             std::uint64_t size_sectors) {
    bool wrapped = false;
    for (const ring::Segment& segment : segments) {
        for (unsigned sector = segment.first_sector; sector <= segment.last_sector; ++sector) {
            if (wrapped || position >= size_sectors) return true;
            wrapped = ++position == 0;
        }
    }
    return false;
}

/// The first rule that the segments break.
inline std::optional<Errc> segments_fault(const ring::RawRequest& request, std::span<const ring::Segment> segments,
                                          const ring::DeviceRules& rules) {
    for (const ring::Segment& segment : segments) {
        if (segment.first_sector > 7 || segment.last_sector > 7) return Errc::bad_segment;
        if (segment.last_sector < segment.first_sector) return Errc::bad_segment;
    }
    if (walks_off_device(request.sector_number, segments, rules.size_sectors)) return Errc::out_of_range;
    return std::nullopt;
}

/// Returns the first rule that the request breaks; nullopt if it may be served.
inline std::optional<Errc> request_fault(const ring::RawRequest& request, const ring::DeviceRules& rules) {
    enum : unsigned { read = 0, write = 1, barrier = 2, flush = 3, discard = 5, indirect = 6 };
    const unsigned operation = request.operation;
    const unsigned inner = request.indirect_operation;
    if (!std::set{0u, 1u, 2u, 3u, 5u, 6u}.contains(operation)) return Errc::unsupported_operation;
    if (operation == discard && !rules.discard) return Errc::unsupported_operation;
    if (operation == discard && request.discard_flag % 2 == 1) return Errc::unsupported_operation;
    if (operation == indirect && rules.indirect_segments_max == 0) return Errc::unsupported_operation;
    if (operation == indirect && inner > 1) return Errc::bad_indirect;

    const bool writes = operation == write || operation == barrier || operation == discard ||
                        (operation == flush && request.segment_count > 0) || (operation == indirect && inner == write);
    if (writes && rules.read_only) return Errc::read_only;

    if (operation == discard) {
        std::uint64_t end = 0;
        const bool wraps = __builtin_add_overflow(request.sector_number, request.discard_sectors, &end);
        const bool fits = !wraps && end <= rules.size_sectors && request.discard_sectors > 0;
        return fits ? std::nullopt : std::optional(Errc::out_of_range);
    }
    if (operation == indirect) {
        const bool good = request.segment_count >= 1 && request.segment_count <= rules.indirect_segments_max;
        return good ? std::nullopt : std::optional(Errc::bad_segment_count);
    }
    const unsigned lowest = operation == flush || operation == barrier ? 0 : 1;
    if (request.segment_count < lowest || request.segment_count > 11) return Errc::bad_segment_count;
    return segments_fault(request, std::span(request.segments).first(request.segment_count), rules);
}

/// The range of a request that may be served: its discarded sectors, or those of `segments`, counted one by one.
inline SectorRange expected_range(const ring::RawRequest& request, std::span<const ring::Segment> segments) {
    if (request.operation == 5) return {request.sector_number, request.discard_sectors};
    if (segments.empty()) return {};
    SectorRange range{request.sector_number, 0};
    for (const ring::Segment& segment : segments) {
        for (unsigned sector = segment.first_sector; sector <= segment.last_sector; ++sector)
            ++range.count;
    }
    return range;
}

/// Returns what is wrong with `judged`, or an empty text if the oracle agrees. `segments` are those already known.
inline const char* disagreement(const Result<ring::Judged>& judged, const std::optional<Errc>& fault,
                                const ring::RawRequest& request, std::span<const ring::Segment> segments) {
    if (fault) return !judged && judged.error() == *fault ? "" : "the oracle names another verdict";
    if (!judged) return "the oracle accepts the request";
    const ring::Judged& value = judged.value();
    const bool is_indirect = request.operation == 6;
    const unsigned served = is_indirect ? request.indirect_operation : request.operation;
    if (static_cast<unsigned>(value.operation) != served) return "another operation";
    if (value.segment_count != (request.operation == 5 ? 0 : request.segment_count)) return "another segment count";
    if (value.needs_descriptors != (is_indirect && segments.empty())) return "descriptors are known or are not";
    if (value.range != expected_range(request, segments)) return "another range";
    return "";
}

/// disagreement() for a request as it comes from the ring.
inline const char* judge_disagreement(const ring::RawRequest& request, const ring::DeviceRules& rules) {
    const auto fault = request_fault(request, rules);
    const bool has_segments = !fault && request.operation != 5 && request.operation != 6;
    const auto segments = std::span(request.segments).first(has_segments ? request.segment_count : 0);
    return disagreement(judge(request, rules), fault, request, segments);
}

/// disagreement() for the descriptors of an indirect request that judge() let pass.
inline const char* judge_indirect_disagreement(const ring::RawRequest& request, std::span<const ring::Segment> segments,
                                               const ring::DeviceRules& rules) {
    return disagreement(judge_indirect(request, segments, rules), segments_fault(request, segments, rules), request,
                        segments);
}

}  // namespace blktap::test
