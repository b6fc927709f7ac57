// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ModelDisk: the expected contents of a disk. Each sector is recorded as one number, its stamp, which determines its
// 512 bytes; stamp 0 is a sector of zeros. The bytes contain the sector's number too, so that misplaced data is
// detected.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "libblktap/base/units.hpp"

namespace blktap::testing {

class ModelDisk {
  public:
    /// A disk of zeros.
    explicit ModelDisk(std::uint64_t size_sectors) : stamps_(size_sectors) {}

    std::uint64_t size_sectors() const { return stamps_.size(); }
    void write(SectorRange range, std::uint64_t stamp) {
        for (std::uint64_t sector = range.first; sector < range.end(); ++sector)
            stamps_[sector] = stamp;
    }
    void zero(SectorRange range) { write(range, 0); }
    std::uint64_t stamp(std::uint64_t sector) const { return stamps_[sector]; }

    /// Fills `data` with the bytes of write(range, stamp).
    static void fill(SectorRange range, std::uint64_t stamp, std::span<std::byte> data) {
        for (std::uint64_t index = 0; index < range.count; ++index) {
            const Sector bytes = contents(range.first + index, stamp);
            std::memcpy(data.data() + index * sector_size_bytes, bytes.data(), sizeof bytes);
        }
    }
    /// Returns the first sector of `range` whose contents differ from `data`.
    std::optional<std::uint64_t> first_difference(SectorRange range, std::span<const std::byte> data) const {
        for (std::uint64_t index = 0; index < range.count; ++index) {
            const Sector bytes = contents(range.first + index, stamps_[range.first + index]);
            if (std::memcmp(data.data() + index * sector_size_bytes, bytes.data(), sizeof bytes) != 0) {
                return range.first + index;
            }
        }
        return std::nullopt;
    }

  private:
    using Sector = std::array<std::uint64_t, sector_size_bytes / sizeof(std::uint64_t)>;
    static Sector contents(std::uint64_t sector, std::uint64_t stamp) {
        Sector bytes{};
        if (stamp == 0) return bytes;
        for (std::uint64_t word = 0; word < bytes.size(); ++word)
            bytes[word] = (stamp << 32) ^ (sector << 8) ^ word;
        return bytes;
    }

    std::vector<std::uint64_t> stamps_;
};

}  // namespace blktap::testing
