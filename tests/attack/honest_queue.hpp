// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HonestQueue: a ring of the guest that attacks, beside its other rings, with correct requests in the first half of the
// disk: each must be answered once, with success, and every byte that it reads must be right.
#pragma once

#include <map>
#include <vector>

#include "libblktap/ring/front_ring.hpp"
#include "tests/attack/hostile_memory.hpp"

namespace blktap::attack {

/// What the first half of a disk holds: a number for each sector, in every word of it.
class HonestDisk {
  public:
    static constexpr std::uint64_t unknown = ~std::uint64_t{0};

    explicit HonestDisk(std::uint64_t sectors) : numbers_(sectors) {}
    std::uint64_t sectors() const noexcept { return numbers_.size(); }
    std::uint64_t& number(std::uint64_t sector) { return numbers_[sector]; }
    std::uint64_t next() noexcept { return ++last_; }

  private:
    std::vector<std::uint64_t> numbers_;
    std::uint64_t last_ = 0;
};

class HonestQueue {
  public:
    HonestQueue(replay::FrontendHost& host, std::span<std::byte> ring_pages, ring::Protocol protocol, HonestDisk& disk);

    /// Puts a few requests, and makes them visible.
    void put(SeededRandom& random, std::uint32_t count);
    /// Takes the answers that are there. Errors: throws Finding.
    void take();
    /// Nobody waits for the answers that are to come: what these writes leave is not known.
    void give_up();
    bool idle() const noexcept { return under_way_.empty(); }
    std::uint64_t answered() const noexcept { return answered_; }

  private:
    static constexpr std::uint32_t pages = 16;
    struct UnderWay {
        ring::Operation operation;
        std::uint64_t sector;
        std::uint32_t first;  ///< sectors of its page
        std::uint32_t count;
        std::uint32_t page;
        std::uint64_t number;  ///< of a write
    };

    std::span<std::byte> sector_bytes(const UnderWay& request, std::uint32_t index) const;
    bool is_free(std::uint64_t sector, std::uint32_t count) const;
    void check(const UnderWay& request) const;

    ring::FrontRing ring_;
    replay::FrontendPages data_;
    HonestDisk& disk_;
    std::map<std::uint64_t, UnderWay> under_way_;
    std::vector<std::uint32_t> free_pages_;
    std::uint64_t last_id_ = 0;
    std::uint64_t answered_ = 0;
};

}  // namespace blktap::attack
