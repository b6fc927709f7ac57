// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/memory_budget.hpp"

#include <algorithm>

#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

std::string in_units(std::uint64_t bytes) {
    constexpr std::uint64_t mib = 1ULL << 20;
    if (bytes < mib) return std::to_string(bytes) + " bytes";
    return std::to_string((bytes + mib - 1) / mib) + " MiB";
}

}  // namespace

void MemoryBudget::take(std::uint64_t bytes, const std::string& name, const char* what) {
    if (bytes > limit_ - used_) {
        throw_reason(Errc::image_invalid, name + ": " + what + " would take " + in_units(bytes) +
                                              " of memory, besides " + in_units(used_) +
                                              " for other tables of the disk; the option memory-budget allows " +
                                              in_units(limit_) + " in all");
    }
    used_ += bytes;
    peak_ = std::max(peak_, used_);
}

}  // namespace blktap
