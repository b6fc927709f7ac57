// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// EngineOracle: the contents that each sector of a disk may have while requests overlap in time. A write may take
// effect at any moment between being sent and being answered; once it is answered, all contents that were answered
// before it was sent are gone. A read may see any contents that were not gone when it was sent. Reads and writes that
// overlap are not ordered (see RangeGuard), and a worker's write is a copy that a read can meet halfway: while a change
// of a sector is under way, a read may see a mixture of the allowed contents.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libblktap/base/units.hpp"

namespace blktap::testing {

class EngineOracle {
  public:
    /// A write that may be under way: its stamp. 0 is a discard, which leaves zeros or what was there.
    struct Write {
        std::uint64_t stamp = 0;
        std::uint64_t sent_at = 0;
    };

    /// A disk of zeros.
    explicit EngineOracle(std::uint64_t size_sectors);

    /// Moves time on and returns it: once for each thing that the guest can tell apart.
    std::uint64_t tick() { return ++now_; }
    /// A stamp that no write had before.
    std::uint64_t new_stamp() { return ++last_stamp_; }

    Write sent(SectorRange range, std::uint64_t stamp);
    /// `certain`: it was answered with success, so it has happened; else a part of it may have.
    void answered(SectorRange range, const Write& write, bool certain);

    /// The first sector of `data`, the answer of a read sent at `sent_at`, that holds what it cannot; -1: none.
    std::int64_t first_wrong(SectorRange range, std::span<const std::byte> data, std::uint64_t sent_at) const;
    /// Forgets what no read that was sent at `oldest_read` or later can see.
    void forget(std::uint64_t oldest_read);

  private:
    static constexpr std::uint64_t never = ~std::uint64_t{0};
    struct Candidate {
        std::uint64_t stamp;
        std::uint64_t answered_at;
        std::uint64_t gone_at;
    };
    bool may_be(std::uint64_t sector, std::uint64_t stamp, std::uint64_t sent_at) const;
    bool may_be_mixed(std::uint64_t sector, std::span<const std::byte> data, std::uint64_t sent_at) const;

    std::vector<std::vector<Candidate>> sectors_;
    std::uint64_t now_ = 0;
    std::uint64_t last_stamp_ = 0;
};

}  // namespace blktap::testing
