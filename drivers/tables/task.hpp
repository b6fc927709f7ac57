// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Task: a request that takes more than one operation: it crosses clusters, needs a table read first, or new space.
// After each wait it continues where it stopped. Tasks are made with the driver; requests wait for one when all are in
// use. A format's own state of a request is in a struct derived from this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/parent_from_member.hpp>

#include "drivers/shared/file_request.hpp"
#include "drivers/shared/iovec_window.hpp"
#include "drivers/shared/slice_cache.hpp"
#include "drivers/tables/extent.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap::tables {

class Committer;
class ImageIo;
class TableDriver;
class TableWriter;

/// A transfer of data from or to a file of the chain.
struct Transfer {
    ImageIo* image = nullptr;
    std::uint32_t layer = 0;
    bool writes = false;
    bool fresh = false;  ///< to space that was never written, and reads as zeros
    std::uint64_t host_offset = 0;
    std::uint64_t file_end = 0;  ///< as it was when a read by a worker began
    std::span<iovec> data{};

    void read_from(const Extent& extent) noexcept {
        layer = extent.layer;
        writes = false;
        host_offset = extent.host_offset;
    }
    /// Sets up a write, which always goes to the top layer.
    void write_at(std::uint64_t offset) noexcept {
        layer = 0;
        writes = true;
        host_offset = offset;
    }
};

struct Task : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
    /// Called when the wait of the task is over.
    using Next = void (*)(Task&, std::error_code) noexcept;

    TableDriver* driver = nullptr;  ///< null: not for a request, but a task of the driver itself
    FileRequest* request = nullptr;
    IoOp io{};
    WorkerJob job{};
    std::error_code job_error{};
    Next next = nullptr;

    /// The remaining part of the disk, in bytes, and the memory for it.
    std::uint64_t at = 0;
    std::uint64_t end = 0;
    IovecWindow window;

    Extent extent{};  ///< what is read next
    Transfer transfer;
    SliceCache::Key wanted{};  ///< the slice that the task waits for

    // A write or a discard.
    TableWriter* writer = nullptr;
    std::uint64_t length = 0;      ///< of the part under way
    std::size_t change_count = 0;  ///< changes of tables that are not committed
    bool began_growth = false;
    Next commit_next = nullptr;  ///< `next`, while the committer needs a slice for the task
    Committer* committer = nullptr;

    static Task& of(IoOp& op) noexcept { return *boost::intrusive::get_parent_from_member<Task>(&op, &Task::io); }
    static Task& of(WorkerJob& its) noexcept {
        return *boost::intrusive::get_parent_from_member<Task>(&its, &Task::job);
    }
};

using TaskList = boost::intrusive::list<Task, boost::intrusive::constant_time_size<false>>;

/// Removes the first task from `list` and returns it.
inline Task& take_first(TaskList& list) noexcept {
    Task& task = list.front();
    list.pop_front();
    return task;
}

/// Ends the wait of every task of `list` with `error`.
inline void go_on_all(TaskList& list, std::error_code error) noexcept {
    TaskList woken;
    woken.swap(list);
    while (!woken.empty()) {
        Task& task = take_first(woken);
        task.next(task, error);
    }
}

}  // namespace blktap::tables
