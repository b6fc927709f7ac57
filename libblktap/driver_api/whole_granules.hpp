// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The part of a discard that an image can discard (ImageInfo). Drivers need it, and the engine does, which answers a
// discard of no whole granule itself.
//
// Tested by tests/unit/drivers/discard_test.cpp.
#pragma once

#include <algorithm>

#include "libblktap/base/units.hpp"

namespace blktap {

/// Returns the whole granules inside `range`; count is 0 if there are none.
inline SectorRange whole_granules(SectorRange range, std::uint32_t granularity_bytes,
                                  std::uint32_t alignment_bytes) noexcept {
    const std::uint64_t granule = granularity_bytes / sector_size_bytes;
    const std::uint64_t first_granule = alignment_bytes / sector_size_bytes;
    if (range.end() <= first_granule) return {};
    const std::uint64_t past_first = std::max(range.first, first_granule) - first_granule;
    const std::uint64_t begin = first_granule + (past_first + granule - 1) / granule * granule;
    const std::uint64_t end = first_granule + (range.end() - first_granule) / granule * granule;
    return begin < end ? SectorRange{begin, end - begin} : SectorRange{};
}

}  // namespace blktap
