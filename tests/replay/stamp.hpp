// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A stamp: 512 bytes that name the write and its place. A sector that is read later shows by itself whether it is old,
// belongs elsewhere, or was never written.
//
// Tested by tests/unit/replay/stamp_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "libblktap/base/units.hpp"

namespace blktap::replay {

/// The beginning of a stamped sector; the rest is noise derived from these.
struct Stamp {
    std::uint64_t magic;
    std::uint64_t sector;
    std::uint64_t request_id;
    std::uint64_t seed;        ///< of the run
    std::uint64_t generation;  ///< of the write: every write of a run has a higher one
    std::uint64_t checksum;    ///< of everything else in the sector
};

inline constexpr std::uint64_t stamp_magic = 0x706d'6174'536b'6c62;  // "blkStamp" on disk

using SectorBytes = std::span<std::byte, sector_size_bytes>;
using ConstSectorBytes = std::span<const std::byte, sector_size_bytes>;

/// Fills a sector; `stamp`'s magic and checksum are set here.
void write_stamp(SectorBytes sector, Stamp stamp) noexcept;

enum class StampState : std::uint8_t { valid, corrupt, absent, zeros };
struct FoundStamp {
    StampState state;  ///< corrupt: the magic is there and the checksum is wrong
    Stamp stamp;       ///< meaningful when valid or corrupt
};
FoundStamp read_stamp(ConstSectorBytes sector) noexcept;

}  // namespace blktap::replay
