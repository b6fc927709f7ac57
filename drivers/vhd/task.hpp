// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Task: the state of a request to a VHD image, in addition to that of every format with tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "drivers/tables/task.hpp"

namespace blktap::vhd {

/// Sectors of a block whose data has been written, and whose bits must be set.
struct Change {
    std::uint64_t block = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

struct Task : tables::Task {
    /// Most changes of one request in one commit; a request with more changes commits several times.
    static constexpr std::size_t changes_max = 16;

    std::array<Change, changes_max> changes{};
    bool sets_bits = false;  ///< the transfer is followed by a change

    std::span<const Change> pending() const noexcept { return {changes.data(), change_count}; }
};

}  // namespace blktap::vhd
