// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Random numbers for property tests whose run can be repeated: BLKTAP_SEED=n replays the run that printed "seed n".
#pragma once

#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <random>

namespace blktap::test {

class SeededRandom {
  public:
    SeededRandom() : SeededRandom(choose_seed()) {}
    explicit SeededRandom(std::uint64_t seed) : seed_(seed), engine_(seed_) {}

    std::uint64_t seed() const noexcept { return seed_; }

    /// Any value of the type, all equally likely.
    template <std::unsigned_integral T>
    T any() {
        return static_cast<T>(engine_());
    }
    /// From `lowest` to `highest`, both included.
    template <std::unsigned_integral T>
    T between(T lowest, T highest) {
        return static_cast<T>(std::uniform_int_distribution<std::uint64_t>(lowest, highest)(engine_));
    }
    bool one_in(std::uint64_t n) { return engine_() % n == 0; }

  private:
    static std::uint64_t choose_seed() {
        const char* wanted = std::getenv("BLKTAP_SEED");
        return wanted != nullptr ? std::strtoull(wanted, nullptr, 0) : std::random_device{}();
    }

    std::uint64_t seed_;
    std::mt19937_64 engine_;
};

}  // namespace blktap::test
