// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The noise is different in every sector of every write, so that a mixture of two stamps never has a right checksum.
// Eight bytes at a time: verified load must still keep a tapdisk busy.
#include "tests/replay/stamp.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/replay/load/random.hpp"

namespace blktap::replay {
namespace {

constexpr std::size_t words_per_sector = sector_size_bytes / sizeof(std::uint64_t);
constexpr std::size_t stamp_words = sizeof(Stamp) / sizeof(std::uint64_t);
constexpr std::size_t checksum_word = stamp_words - 1;
using Words = std::array<std::uint64_t, words_per_sector>;

std::uint64_t checksum_of(const Words& words) noexcept {
    std::uint64_t sum = stamp_magic;
    for (std::size_t i = 0; i < words_per_sector; ++i)
        if (i != checksum_word) sum = mix(sum ^ words[i]);
    return sum;
}

}  // namespace

void write_stamp(SectorBytes sector, Stamp stamp) noexcept {
    stamp.magic = stamp_magic;
    Words words;
    std::memcpy(words.data(), &stamp, sizeof(stamp));
    Random noise(mix(stamp.seed ^ stamp.sector) ^ stamp.generation);
    std::generate(words.begin() + stamp_words, words.end(), [&noise] { return noise.next(); });
    words[checksum_word] = checksum_of(words);
    std::memcpy(sector.data(), words.data(), sector.size());
}

FoundStamp read_stamp(ConstSectorBytes sector) noexcept {
    Words words;
    std::memcpy(words.data(), sector.data(), sector.size());
    FoundStamp found{StampState::valid, {}};
    std::memcpy(&found.stamp, words.data(), sizeof(Stamp));
    if (found.stamp.magic != stamp_magic) {
        const bool zeros = std::ranges::all_of(words, [](std::uint64_t word) { return word == 0; });
        found.state = zeros ? StampState::zeros : StampState::absent;
    } else if (found.stamp.checksum != checksum_of(words)) {
        found.state = StampState::corrupt;
    }
    return found;
}

}  // namespace blktap::replay
