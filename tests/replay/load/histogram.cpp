// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A bucket's number is the position of a value's highest bit and the five bits below it; values below 32 have one each.
#include "tests/replay/load/histogram.hpp"

#include <bit>
#include <cmath>

namespace blktap::replay {

std::size_t Histogram::bucket_of(std::uint64_t value) noexcept {
    const auto bits = static_cast<unsigned>(std::bit_width(value));
    if (bits <= fraction_bits) return value;
    const unsigned shift = bits - fraction_bits - 1;
    return (std::size_t{shift} << fraction_bits) + (value >> shift);
}

std::uint64_t Histogram::last_value_of(std::size_t bucket) noexcept {
    if (bucket < (1u << fraction_bits)) return bucket;
    const std::size_t shift = (bucket >> fraction_bits) - 1;
    const std::uint64_t first = (bucket - (shift << fraction_bits)) << shift;
    return first + ((std::uint64_t{1} << shift) - 1);
}

Nanoseconds Histogram::quantile(double fraction) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) {
        seen += buckets_[bucket];
        if (seen >= wanted && seen > 0) return Nanoseconds(std::min(last_value_of(bucket), max_));
    }
    return Nanoseconds(0);
}

}  // namespace blktap::replay
