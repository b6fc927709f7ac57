// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Errors name the option that would help.
#include "tests/replay/extent.hpp"

#include <charconv>
#include <limits>
#include <stdexcept>

namespace blktap::replay {
namespace {

constexpr std::uint64_t to_the_end = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::vector<SegmentShape> segments_for(std::uint64_t sector_count) {
    std::vector<SegmentShape> shape;
    for (; sector_count >= sectors_per_page; sector_count -= sectors_per_page)
        shape.push_back({0, 7});
    if (sector_count > 0) shape.push_back({0, static_cast<std::uint8_t>(sector_count - 1)});
    return shape;
}

bool choose_indirect(Indirect choice, std::size_t segment_count, const ipc::DeviceDescription& device) {
    const bool indirect =
        choice == Indirect::always || (choice == Indirect::automatic && segment_count > ring::segments_direct_max);
    if (!indirect && segment_count > ring::segments_direct_max) {
        throw std::runtime_error("requests of " + std::to_string(segment_count) +
                                 " segments need --indirect auto or always; 11 fit without");
    }
    if (indirect && segment_count > device.indirect_segments_max) {
        throw std::runtime_error("requests of " + std::to_string(segment_count) +
                                 " indirect segments: the disk takes at most " +
                                 std::to_string(device.indirect_segments_max) + "; use a smaller --size");
    }
    return indirect;
}

std::optional<SectorRange> parse_range(const std::string& text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) return std::nullopt;
    const auto first = parse_number(std::string_view(text).substr(0, colon));
    const bool open = colon + 1 == text.size();
    const auto count = open ? to_the_end : parse_number(std::string_view(text).substr(colon + 1));
    if (!first || !count || *count == 0) return std::nullopt;
    return SectorRange{*first, *count};
}

SectorRange resolve_range(const std::optional<SectorRange>& asked, const ipc::DeviceDescription& device) {
    SectorRange range = asked.value_or(SectorRange{0, to_the_end});
    if (range.count == to_the_end && range.first < device.size_sectors) range.count = device.size_sectors - range.first;
    if (range.fits(device.size_sectors)) return range;
    throw std::runtime_error("--range is not inside the disk of " + std::to_string(device.size_sectors) + " sectors");
}

}  // namespace blktap::replay
