// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Sizes and ranges of a disk. A range travels as one value, so that a first sector and a count cannot be swapped, and
// its bounds are checked without overflow in one place.
//
// Tested by tests/unit/base/units_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blktap {

/// Every sector number and count in this project is in units of 512 bytes, as on the wire, whatever the device uses.
inline constexpr std::uint32_t sector_size_bytes = 512;
/// A grant, a ring page and a segment's page: Xen's page size on every architecture (XEN_PAGE_SIZE).
inline constexpr std::size_t page_size_bytes = 4096;
inline constexpr std::uint32_t sectors_per_page = page_size_bytes / sector_size_bytes;

/// `count` sectors from `first`: [first, first + count).
struct SectorRange {
    std::uint64_t first = 0;
    std::uint64_t count = 0;

    /// True when the range lies inside a device of `device_sectors`; cannot overflow.
    constexpr bool fits(std::uint64_t device_sectors) const noexcept {
        return count <= device_sectors && first <= device_sectors - count;
    }
    /// One past the last sector. Only for a range that fits a device.
    constexpr std::uint64_t end() const noexcept { return first + count; }
    constexpr std::uint64_t offset_bytes() const noexcept { return first * sector_size_bytes; }
    constexpr std::uint64_t length_bytes() const noexcept { return count * sector_size_bytes; }
    constexpr bool overlaps(const SectorRange& other) const noexcept {
        return first < other.end() && other.first < end();
    }
    friend constexpr bool operator==(const SectorRange&, const SectorRange&) = default;
};

/// `value` rounded down or up to a multiple of `unit`, a power of two. `round_up` must not overflow.
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) noexcept {
    return value & ~(unit - 1);
}
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
    return (value + unit - 1) & ~(unit - 1);
}
/// `value` divided by `by`, rounded up. The sum of both must not overflow.
constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) noexcept {
    return (value + by - 1) / by;
}
constexpr bool is_aligned(std::uint64_t value, std::uint64_t unit) noexcept {
    return (value & (unit - 1)) == 0;
}

}  // namespace blktap
