// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Task: the state of a request to a qcow2 image, in addition to that of every format with tables.
#pragma once

#include <array>
#include <span>

#include "drivers/qcow2/write_map.hpp"
#include "drivers/tables/task.hpp"

namespace blktap::qcow2 {

class ClusterFiller;

struct Task : tables::Task {
    /// Most changes of one request in one commit; a request with more changes commits several times.
    static constexpr std::size_t changes_max = 8;

    std::array<Change, changes_max> changes{};

    /// Copying of the disk's old contents into new clusters.
    struct Copy {
        ClusterFiller* filler = nullptr;
        Next filled = nullptr;  ///< called at the end
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
