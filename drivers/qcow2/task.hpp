// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Task: what a qcow2 image remembers of a request on its way, besides what every format does.
#pragma once

#include <array>
#include <span>

#include "drivers/qcow2/write_map.hpp"
#include "drivers/tables/task.hpp"

namespace blktap::qcow2 {

class ClusterFiller;

struct Task : tables::Task {
    /// Changes that one commit takes from one request; a request that needs more commits in between.
    static constexpr std::size_t changes_max = 8;

    std::array<Change, changes_max> changes{};

    /// Writing to new clusters: what is copied from where the disk's contents were before.
    struct Copy {
        ClusterFiller* filler = nullptr;
        Next filled = nullptr;  ///< what comes after it
        std::uint64_t at = 0;   ///< in bytes of the disk
        std::uint64_t end = 0;
        bool tail_copied = false;
        std::span<std::byte> buffer{};
        iovec entry{};
    };
    Copy copy;

    const Change& newest_change() const noexcept { return changes[change_count - 1]; }
    std::span<const Change> pending() const noexcept { return {changes.data(), change_count}; }
};

}  // namespace blktap::qcow2
