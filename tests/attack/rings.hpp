// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HostileRing: a ring whose every field may hold anything, at any moment. It keeps the request producer legal by
// itself, because a ring whose producer jumps is stopped for good, and then tests nothing.
#pragma once

#include "libblktap/ring/request.hpp"
#include "tests/attack/hostile_memory.hpp"

namespace blktap::attack {

class HostileRing {
  public:
    /// `pages` outlives this.
    HostileRing(std::span<std::byte> pages, ring::Protocol protocol) noexcept;

    /// Writes a request that `draw` chose into the next slots; as many as there is room for. Returns how many.
    std::uint32_t put(SeededRandom& random, const HostileMemory& memory, std::uint32_t count) noexcept;
    /// Makes them visible.
    void publish() noexcept;
    /// Stores any value in one of the four indices.
    void break_an_index(SeededRandom& random) noexcept;
    /// Rewrites a field of any slot; for a thread of its own, while requests are read.
    void rewrite(SeededRandom& random, const HostileMemory& memory) noexcept;

  private:
    volatile std::byte* slot(std::uint32_t index) const noexcept;
    void store(std::size_t offset, std::uint32_t value) noexcept;
    std::uint32_t load(std::size_t offset) const noexcept;

    const std::span<std::byte> pages_;
    const ring::Layout& layout_;
    const std::uint32_t slot_count_;
    std::uint32_t producer_ = 0;
};

}  // namespace blktap::attack
