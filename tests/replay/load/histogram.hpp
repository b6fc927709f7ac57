// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Histogram: latencies on a logarithmic scale, within 3 % from a nanosecond to centuries, in 15 KiB and without
// an allocation.
//
// Tested by tests/unit/replay/histogram_test.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "libblktap/base/clock.hpp"

namespace blktap::replay {

class Histogram {
  public:
    void add(Nanoseconds value) noexcept {
        const auto count = static_cast<std::uint64_t>(std::max<Nanoseconds::rep>(value.count(), 0));
        ++buckets_[bucket_of(count)];
        ++count_;
        max_ = std::max(max_, count);
    }

    std::uint64_t count() const noexcept { return count_; }
    Nanoseconds max() const noexcept { return Nanoseconds(max_); }
    /// The smallest bucket's end that `fraction` (0 to 1) of the values do not exceed, never above max(). 0 when empty.
    Nanoseconds quantile(double fraction) const noexcept;

  private:
    // Each power of two is cut into 32: the width of a bucket is at most 1/32 of its values.
    static constexpr unsigned fraction_bits = 5;
    static constexpr std::size_t bucket_count = (64 - fraction_bits + 1) << fraction_bits;
    static std::size_t bucket_of(std::uint64_t value) noexcept;
    static std::uint64_t last_value_of(std::size_t bucket) noexcept;

    std::array<std::uint64_t, bucket_count> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace blktap::replay
