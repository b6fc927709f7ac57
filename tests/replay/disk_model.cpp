// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The order of the checks matters: a stamp's fields are judged only if its checksum is right.
#include "tests/replay/disk_model.hpp"

#include <algorithm>
#include <cstdio>

namespace blktap::replay {
namespace {

SectorBytes sector_at(std::span<std::byte> data, std::uint64_t index) noexcept {
    return data.subspan(index * sector_size_bytes).first<sector_size_bytes>();
}
ConstSectorBytes sector_at(std::span<const std::byte> data, std::uint64_t index) noexcept {
    return data.subspan(index * sector_size_bytes).first<sector_size_bytes>();
}

const char* kind_name(Mismatch::Kind kind) noexcept {
    switch (kind) {
        case Mismatch::Kind::lost:
            return "lost";
        case Mismatch::Kind::torn:
            return "torn";
        case Mismatch::Kind::misplaced:
            return "misplaced";
        case Mismatch::Kind::corrupt:
            return "corrupt";
        case Mismatch::Kind::foreign:
            return "foreign";
    }
    return "?";
}

std::string describe_found(const FoundStamp& found) {
    if (found.state == StampState::zeros) return "zeros";
    if (found.state == StampState::absent) return "data without a stamp";
    char text[200];
    std::snprintf(
        text, sizeof(text), "generation %llu of sector %llu, request %#llx, seed %llu%s",
        static_cast<unsigned long long>(found.stamp.generation), static_cast<unsigned long long>(found.stamp.sector),
        static_cast<unsigned long long>(found.stamp.request_id), static_cast<unsigned long long>(found.stamp.seed),
        found.state == StampState::corrupt ? ", with a wrong checksum" : "");
    return text;
}

}  // namespace

std::string Mismatch::describe() const {
    const std::string expected = expected_generation == Mismatch::expected_zeros ? "zeros"
                                 : expected_generation == 0                      ? "no stamp of another sector"
                                                            : "generation " + std::to_string(expected_generation);
    return "sector " + std::to_string(sector) + ": " + kind_name(kind) + ": expected " + expected + ", found " +
           describe_found(found);
}

std::uint64_t DiskModel::stamp(SectorRange range, std::uint64_t request_id, std::span<std::byte> data) noexcept {
    ++last_generation_;
    for (std::uint64_t i = 0; i < range.count; ++i)
        write_stamp(sector_at(data, i), {0, range.first + i, request_id, seed_, last_generation_, 0});
    return last_generation_;
}

void DiskModel::written(SectorRange range, std::uint64_t generation) noexcept {
    const auto first = generations_.begin() + static_cast<std::ptrdiff_t>(range.first - range_.first);
    std::fill_n(first, range.count, generation);
}

void DiskModel::grow(std::uint64_t count) {
    generations_.resize(count, zeros);
    range_.count = count;
}

bool DiskModel::known(SectorRange range) const noexcept {
    const auto first = generations_.begin() + static_cast<std::ptrdiff_t>(range.first - range_.first);
    return std::any_of(first, first + static_cast<std::ptrdiff_t>(range.count),
                       [](std::uint64_t generation) { return generation != unknown; });
}

std::optional<Mismatch> DiskModel::check_sector(std::uint64_t sector, ConstSectorBytes bytes) const noexcept {
    const std::uint64_t generation = expected(sector);
    const FoundStamp found = read_stamp(bytes);
    const bool ours = found.state == StampState::valid && found.stamp.seed == seed_;
    const auto mismatch = [&](Mismatch::Kind kind) { return Mismatch{kind, sector, generation, found}; };

    if (ours && found.stamp.sector != sector) return mismatch(Mismatch::Kind::misplaced);
    if (generation == unknown) return std::nullopt;  // whatever was there before
    if (generation == zeros) {
        if (found.state == StampState::zeros) return std::nullopt;
        return mismatch(Mismatch::Kind::foreign);
    }
    if (ours && found.stamp.generation == generation) return std::nullopt;
    if (ours && found.stamp.generation < generation) return mismatch(Mismatch::Kind::lost);
    if (found.state == StampState::zeros) return mismatch(Mismatch::Kind::lost);
    if (found.state == StampState::corrupt) return mismatch(Mismatch::Kind::corrupt);
    return mismatch(Mismatch::Kind::foreign);
}

std::optional<Mismatch> DiskModel::check(SectorRange range, std::span<const std::byte> data) const noexcept {
    std::optional<Mismatch> first;
    for (std::uint64_t i = 0; i < range.count && !first; ++i)
        first = check_sector(range.first + i, sector_at(data, i));
    if (!first || first->kind != Mismatch::Kind::lost) return first;

    // Lost as a whole, or torn: is another sector of the same write there?
    for (std::uint64_t i = 0; i < range.count; ++i) {
        const bool same_write = expected(range.first + i) == first->expected_generation;
        if (same_write && !check_sector(range.first + i, sector_at(data, i))) first->kind = Mismatch::Kind::torn;
    }
    return first;
}

}  // namespace blktap::replay
