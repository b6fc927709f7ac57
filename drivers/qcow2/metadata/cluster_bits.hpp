// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ClusterBits: a bit for each cluster of a file, or for each slice of a table; memory is allocated page by page as bits
// are set. CountedBits also counts the set bits, and finds them.
//
// Pure: no I/O. Tested by tests/unit/qcow2/refcounts_test.cpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>

#include "libblktap/base/mapping.hpp"

namespace blktap::qcow2 {

class ClusterBits {
  public:
    /// All clear. Errors: throws std::system_error (ENOMEM).
    explicit ClusterBits(std::uint64_t bits) : words_(word_count(bits)) {}
    /// Returns a copy with room for `bits`, at least as many as now. Errors: as above.
    ClusterBits larger(std::uint64_t bits) const {
        ClusterBits result{bits};
        std::ranges::copy(words_.span(), result.words_.data());
        return result;
    }

    bool operator[](std::uint64_t at) const noexcept { return ((words_[at / 64] >> (at % 64)) & 1) != 0; }
    void set(std::uint64_t at, bool value) noexcept {
        const std::uint64_t mask = 1ULL << (at % 64);
        words_[at / 64] = value ? words_[at / 64] | mask : words_[at / 64] & ~mask;
    }
    /// Returns 64 bits, from number 64 * `index` on.
    std::uint64_t word(std::uint64_t index) const noexcept { return words_[index]; }
    std::uint64_t words() const noexcept { return words_.size(); }

    /// Returns the most memory that `bits` bits take.
    static std::uint64_t bytes_for(std::uint64_t bits) noexcept { return word_count(bits) * 8; }

  private:
    static constexpr std::uint64_t word_count(std::uint64_t bits) noexcept { return bits / 64 + 1; }

    LazyArray<std::uint64_t> words_;
};

class CountedBits {
  public:
    /// All clear. Errors: throws std::system_error (ENOMEM).
    explicit CountedBits(std::uint64_t bits) : bits_(bits) {}
    /// Makes room for `bits`, at least as many as now. Errors: as above.
    void grow(std::uint64_t bits) { bits_ = bits_.larger(bits); }

    bool operator[](std::uint64_t at) const noexcept { return bits_[at]; }
    std::size_t count() const noexcept { return count_; }
    void set(std::uint64_t at) noexcept {
        if (bits_[at]) return;
        bits_.set(at, true);
        ++count_;
    }
    void clear(std::uint64_t at) noexcept {
        if (!bits_[at]) return;
        bits_.set(at, false);
        --count_;
    }
    /// Returns the first set bit from `from` on.
    std::optional<std::uint64_t> next(std::uint64_t from) const noexcept {
        if (count_ == 0) return std::nullopt;
        for (std::uint64_t index = from / 64; index < bits_.words(); ++index) {
            std::uint64_t word = bits_.word(index);
            if (index == from / 64) word &= ~0ULL << (from % 64);
            if (word != 0) return index * 64 + static_cast<std::uint64_t>(std::countr_zero(word));
        }
        return std::nullopt;
    }

  private:
    ClusterBits bits_;
    std::size_t count_ = 0;
};

}  // namespace blktap::qcow2
