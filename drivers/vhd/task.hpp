// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Task: what a VHD image remembers of a request on its way, besides what every format does.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "drivers/tables/task.hpp"

namespace blktap::vhd {

/// Sectors of a block whose data is in the file, and whose bits are to be set.
struct Change {
    std::uint64_t block = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

struct Task : tables::Task {
    /// Changes that one commit takes from one request; a request that needs more commits in between.
    static constexpr std::size_t changes_max = 16;

    std::array<Change, changes_max> changes{};
    bool sets_bits = false;  ///< the transfer is followed by a change

    std::span<const Change> pending() const noexcept { return {changes.data(), change_count}; }
};

}  // namespace blktap::vhd
