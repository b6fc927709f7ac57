// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The conversion of a run of sectors into a request: the segments, whether they need an indirect request, and the part
// of the disk that is used.
//
// Tested by tests/unit/replay/extent_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libblktap/base/units.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tests/replay/load/traffic.hpp"

namespace blktap::replay {

enum class Indirect : std::uint8_t { automatic, always, never };

inline constexpr std::uint64_t request_size_max_bytes = ring::segments_indirect_max * page_size_bytes;

/// The segments of a request for `sector_count` sectors whose data is contiguous from the start of its first page.
std::vector<SegmentShape> segments_for(std::uint64_t sector_count);

/// Whether requests of `segment_count` segments are to be indirect.
/// Errors: throws std::runtime_error when neither form can carry them on this disk.
bool choose_indirect(Indirect choice, std::size_t segment_count, const ipc::DeviceDescription& device);

/// "FIRST:COUNT" in sectors; COUNT may be left out ("8:" reaches to the end). Errors: nullopt.
std::optional<SectorRange> parse_range(const std::string& text);
/// The part of the disk that `asked` (absent: all of it) means. Errors: throws std::runtime_error when it is outside.
SectorRange resolve_range(const std::optional<SectorRange>& asked, const ipc::DeviceDescription& device);

/// A request for data at `sector` of `shape`'s size.
inline Work data_work(ring::Operation operation, std::uint64_t sector, std::span<const SegmentShape> shape,
                      bool indirect) noexcept {
    return {static_cast<std::uint8_t>(operation), indirect, static_cast<std::uint16_t>(shape.size()), sector, 0, shape};
}

}  // namespace blktap::replay
