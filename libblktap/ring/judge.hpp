// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Judging a request: turns a private copy that may hold anything into a request that is safe to serve, or the error
// that answers it. The order of the checks is the contract (docs/ARCHITECTURE.md, step 3): operation known, operation
// offered (an indirect request's inner operation last), not forbidden by read-only, segment count, segments, range.
// Pure functions over values.
//
// Tested by tests/unit/ring/judge_test.cpp, tests/fuzz/fuzz_judge.cpp.
#pragma once

#include <span>

#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"
#include "libblktap/ring/request.hpp"

namespace blktap::ring {

/// What the device offers to this frontend.
struct DeviceRules {
    std::uint64_t size_sectors = 0;
    bool read_only = false;
    bool discard = false;  ///< the image can discard, and the toolstack did not disable it
    std::uint16_t indirect_segments_max = segments_indirect_max;  ///< 0: indirect requests are not offered
};

/// A judged request.
struct Judged {
    Operation operation;  ///< never `indirect`: the inner operation
    SectorRange range;    ///< empty only for a flush or barrier without data, and while needs_descriptors
    std::uint16_t segment_count;
    bool needs_descriptors;  ///< indirect: `range` is not known before judge_indirect()
};

/// Judges everything but the segments of an indirect request.
/// Errors: Errc::unsupported_operation, read_only, bad_segment_count, bad_segment, out_of_range, bad_indirect.
Result<Judged> judge(const RawRequest& request, const DeviceRules& rules) noexcept;

/// Judges the segments of an indirect request that judge() let pass; `segments` is a private copy of its descriptors,
/// request.segment_count of them.
/// Errors: Errc::bad_segment, out_of_range.
Result<Judged> judge_indirect(const RawRequest& request, std::span<const Segment> segments,
                              const DeviceRules& rules) noexcept;

/// Number of descriptor pages for `segment_count` segments; at most indirect_pages_max for a judged request.
constexpr std::size_t indirect_page_count(std::size_t segment_count) noexcept {
    return (segment_count + segments_per_indirect_page - 1) / segments_per_indirect_page;
}

}  // namespace blktap::ring
