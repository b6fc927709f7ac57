// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Task: a request that takes more than one operation: it crosses blocks, needs a bitmap read first, or a new block. It
// goes on from where it stopped each time that what it waited for has happened. Tasks are made with the driver;
// requests wait for one when all are taken.
#pragma once

#include <array>
#include <cstdint>
#include <system_error>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/parent_from_member.hpp>

#include "drivers/shared/iovec_window.hpp"
#include "drivers/vhd/layer.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap::vhd {

class Core;

/// Sectors of a block whose data is in the file, and whose bits are to be set.
struct Change {
    std::uint64_t block = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

struct Task : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
    /// What happens when that is over which the task waits for.
    using Next = void (*)(Task&, std::error_code) noexcept;
    /// Changes that one commit takes from one request; a request that needs more commits in between.
    static constexpr std::size_t changes_max = 16;

    void* owner = nullptr;  ///< the driver, which knows `finished`
    Core* core = nullptr;
    ImageRequest* request = nullptr;
    IoOp io{};
    WorkerJob job{};
    std::error_code job_error{};
    Next next = nullptr;
    Next finished = nullptr;  ///< the request is done, or failed

    /// The part of the disk that is not done yet, in bytes, and the memory for it.
    std::uint64_t at = 0;
    std::uint64_t end = 0;
    IovecWindow window;

    SliceCache::Key wanted{};  ///< while it waits for a slice

    // One transfer, or one hole.
    bool writes = false;
    bool fresh = false;  ///< to space that was never written
    std::uint32_t layer = 0;
    std::uint64_t host_offset = 0;
    std::uint64_t length = 0;
    std::span<iovec> data{};
    std::uint64_t file_end = 0;  ///< as it was when a read by a worker began

    // Writing.
    std::array<Change, changes_max> changes{};
    std::size_t change_count = 0;
    bool sets_bits = false;  ///< the transfer is followed by a change
    bool began_growth = false;
    Next commit_next = nullptr;  ///< `next`, while the committer needs a slice for it
    void* committer = nullptr;
    void* writer = nullptr;

    std::span<const Change> pending() const noexcept { return {changes.data(), change_count}; }

    static Task& of(IoOp& op) noexcept { return *boost::intrusive::get_parent_from_member<Task>(&op, &Task::io); }
    static Task& of(WorkerJob& its) noexcept {
        return *boost::intrusive::get_parent_from_member<Task>(&its, &Task::job);
    }
};

using TaskList = boost::intrusive::list<Task, boost::intrusive::constant_time_size<false>>;

/// Takes the first task of `list` out of it.
inline Task& take_first(TaskList& list) noexcept {
    Task& task = list.front();
    list.pop_front();
    return task;
}

}  // namespace blktap::vhd
