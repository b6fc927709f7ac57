// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/disk_size.hpp"

#include "libblktap/base/units.hpp"

namespace blktap {

std::optional<std::string> size_problem(std::uint64_t size_bytes) {
    if (size_bytes == 0) return "a disk of 0 bytes is not possible; the least is " + std::to_string(sector_size_bytes);
    if (is_aligned(size_bytes, sector_size_bytes)) return std::nullopt;
    return "a disk of " + std::to_string(size_bytes) + " bytes is not possible; it is a multiple of " +
           std::to_string(sector_size_bytes) + ", as " + std::to_string(round_up(size_bytes, sector_size_bytes)) +
           " is";
}

std::string size_argument(std::uint64_t bytes) {
    std::string unit;
    for (const char larger : {'K', 'M', 'G', 'T'}) {
        if (bytes == 0 || bytes % 1024 != 0) break;
        bytes /= 1024;
        unit = larger;
    }
    return std::to_string(bytes) + unit;
}

}  // namespace blktap
