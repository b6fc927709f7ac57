// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/property/engine_oracle.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "tests/support/model_disk.hpp"

namespace blktap::testing {
namespace {

/// The stamp whose contents these 512 bytes of `sector` are.
std::optional<std::uint64_t> stamp_of(std::uint64_t sector, std::span<const std::byte> data) {
    std::uint64_t first = 0;
    std::memcpy(&first, data.data(), sizeof first);
    const std::uint64_t stamp = first == 0 ? 0 : (first ^ (sector << 8)) >> 32;
    std::byte expected[sector_size_bytes];
    ModelDisk::fill({sector, 1}, stamp, expected);
    if (std::memcmp(expected, data.data(), sizeof expected) != 0) return std::nullopt;
    return stamp;
}

}  // namespace

EngineOracle::EngineOracle(std::uint64_t size_sectors) : sectors_(size_sectors, {{0, 0, never}}) {}

EngineOracle::Write EngineOracle::sent(SectorRange range, std::uint64_t stamp) {
    const Write write{stamp, tick()};
    for (std::uint64_t sector = range.first; sector < range.end(); ++sector) {
        sectors_[sector].push_back({stamp, never, never});
    }
    return write;
}

void EngineOracle::answered(SectorRange range, const Write& write, bool certain) {
    tick();
    for (std::uint64_t sector = range.first; sector < range.end(); ++sector) {
        bool found = false;
        for (Candidate& candidate : sectors_[sector]) {
            if (!found && candidate.stamp == write.stamp && candidate.answered_at == never) {
                candidate.answered_at = now_;
                found = true;
            } else if (certain && candidate.answered_at < write.sent_at) {
                candidate.gone_at = std::min(candidate.gone_at, now_);
            }
        }
    }
}

bool EngineOracle::may_be(std::uint64_t sector, std::uint64_t stamp, std::uint64_t sent_at) const {
    return std::ranges::any_of(sectors_[sector], [=](const Candidate& candidate) {
        return candidate.stamp == stamp && candidate.gone_at > sent_at;
    });
}

/// Whether a change of `sector` was under way after `sent_at`, and each byte of `data` is from something that the
/// sector may hold.
bool EngineOracle::may_be_mixed(std::uint64_t sector, std::span<const std::byte> data, std::uint64_t sent_at) const {
    const auto under_way = [=](const Candidate& candidate) { return candidate.answered_at > sent_at; };
    if (std::ranges::none_of(sectors_[sector], under_way)) return false;
    std::array<bool, sector_size_bytes> explained{};
    for (const Candidate& candidate : sectors_[sector]) {
        if (candidate.gone_at <= sent_at) continue;
        std::array<std::byte, sector_size_bytes> held;
        ModelDisk::fill({sector, 1}, candidate.stamp, held);
        for (std::size_t i = 0; i < held.size(); ++i)
            explained[i] = explained[i] || held[i] == data[i];
    }
    return std::ranges::all_of(explained, [](bool byte) { return byte; });
}

std::int64_t EngineOracle::first_wrong(SectorRange range, std::span<const std::byte> data,
                                       std::uint64_t sent_at) const {
    for (std::uint64_t i = 0; i < range.count; ++i) {
        const std::uint64_t sector = range.first + i;
        const auto held = data.subspan(i * sector_size_bytes, sector_size_bytes);
        const auto stamp = stamp_of(sector, held);
        if (stamp ? may_be(sector, *stamp, sent_at) : may_be_mixed(sector, held, sent_at)) continue;
        return static_cast<std::int64_t>(sector);
    }
    return -1;
}

void EngineOracle::forget(std::uint64_t oldest_read) {
    for (auto& candidates : sectors_) {
        std::erase_if(candidates, [=](const Candidate& candidate) { return candidate.gone_at <= oldest_read; });
    }
}

}  // namespace blktap::testing
