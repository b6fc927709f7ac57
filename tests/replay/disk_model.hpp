// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskModel: the expected contents of the disk: for each sector the generation of the last answered write. It judges
// the data that was read. Overlapping reads and writes must not be under way together, so that the expectation is
// definite.
//
// Tested by tests/unit/replay/disk_model_test.cpp.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tests/replay/stamp.hpp"

namespace blktap::replay {

struct Mismatch {
    enum class Kind : std::uint8_t {
        lost,       ///< an older write's data, or none: an acknowledged write is gone
        torn,       ///< part of one write is there and part is lost
        misplaced,  ///< a stamp of another sector
        corrupt,    ///< a stamp with a wrong checksum
        foreign,    ///< no stamp, or one of another run
    };
    static constexpr std::uint64_t expected_zeros = std::numeric_limits<std::uint64_t>::max();
    Kind kind;
    std::uint64_t sector;
    std::uint64_t expected_generation;
    FoundStamp found;

    /// "sector 8: torn: expected generation 7, found generation 5 of request 0x40001".
    std::string describe() const;
};

class DiskModel {
  public:
    /// Watches `range`; nothing of it is written yet. `seed` names the run in its stamps.
    DiskModel(SectorRange range, std::uint64_t seed) : range_(range), seed_(seed), generations_(range.count, unknown) {}

    /// Stamps `data` for a write of `range`; returns its generation, for written() or uncertain().
    std::uint64_t stamp(SectorRange range, std::uint64_t request_id, std::span<std::byte> data) noexcept;
    /// The write was answered okay.
    void written(SectorRange range, std::uint64_t generation) noexcept;
    /// The write failed: some of it may be there.
    void uncertain(SectorRange range) noexcept { written(range, unknown); }
    /// `range` must read as zeros, as a new image does.
    void erased(SectorRange range) noexcept { written(range, zeros); }
    /// The disk is larger: watches `count` sectors in all, at least as many as before; the new ones are erased().
    void grow(std::uint64_t count);

    /// Judges what a read of `range` returned; the first mismatch.
    std::optional<Mismatch> check(SectorRange range, std::span<const std::byte> data) const noexcept;
    /// Some sector of `range` has a definite content.
    bool known(SectorRange range) const noexcept;
    SectorRange range() const noexcept { return range_; }

  private:
    static constexpr std::uint64_t unknown = 0;
    static constexpr std::uint64_t zeros = Mismatch::expected_zeros;
    std::optional<Mismatch> check_sector(std::uint64_t sector, ConstSectorBytes bytes) const noexcept;
    std::uint64_t expected(std::uint64_t sector) const noexcept { return generations_[sector - range_.first]; }

    SectorRange range_;
    std::uint64_t seed_;
    std::uint64_t last_generation_ = unknown;
    std::vector<std::uint64_t> generations_;
};

}  // namespace blktap::replay
