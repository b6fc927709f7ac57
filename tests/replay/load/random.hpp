// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Random: a small repeatable generator (splitmix64: public domain, Vigna 2015). Its seed is printed, so every run can
// be repeated on any machine; the standard's distributions differ between libraries.
#pragma once

#include <cstdint>

namespace blktap::replay {

/// A bijection whose every output bit depends on every input bit.
constexpr std::uint64_t mix(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9;
    value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11eb;
    return value ^ (value >> 31);
}

class Random {
  public:
    explicit constexpr Random(std::uint64_t seed) noexcept : state_(seed) {}
    constexpr std::uint64_t next() noexcept { return mix(state_ += 0x9e37'79b9'7f4a'7c15); }
    /// In [0, bound), for bounds far below 2^64, whose bias does not matter here. `bound` is not 0.
    constexpr std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }

  private:
    std::uint64_t state_;
};

}  // namespace blktap::replay
