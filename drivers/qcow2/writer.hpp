// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Writer: writes and discards that change the image's tables, or cross clusters. A request that gives clusters of the
// disk new clusters of the file owns them until it is committed; other requests that change them wait. All others, also
// reads of them, continue.
//
// Tested by tests/unit/qcow2/qcow2_driver_test.cpp and tests/property/qcow2_property_test.cpp.
#pragma once

#include <span>

#include "drivers/qcow2/cluster_filler.hpp"
#include "drivers/qcow2/commit_plan.hpp"
#include "drivers/qcow2/file_end.hpp"
#include "drivers/qcow2/image.hpp"
#include "drivers/qcow2/task.hpp"
#include "drivers/tables/table_writer.hpp"

namespace blktap::qcow2 {

class Writer final : public tables::TableWriter, private tables::Committer::GroupWaiter {
  public:
    /// `image` has refcounts. `tasks`: all tasks of the driver. Lifetime: all outlive this. Errors: throws
    /// std::system_error (ENOMEM).
    Writer(Image& image, std::span<Task> tasks);

    WriteMap& map() noexcept { return map_; }
    /// Writes [task.at, task.end) from task.window, or discards its whole clusters, as the task's request demands, then
    /// ends the task. Errors: ENOSPC, after undoing unfinished changes; Errc::image_invalid; those of the I/O.
    void change(tables::Task& task) noexcept override;
    /// Writes the remaining refcounts, and frees the space behind the last cluster.
    void finish() noexcept override;

    /// Whether bytes of the disk must not be written in place now: change() waits if necessary.
    bool is_left_over(std::uint64_t offset, std::uint64_t length) const noexcept;

    tables::Committer& committer() noexcept override { return committer_; }
    FileEnd& file_end() noexcept override { return file_end_; }

  private:
    // Steps of a write.
    void step(Task& task) noexcept;
    void wait_for_left_over(Task& task, std::uint64_t length) noexcept;
    void write_in_place(Task& task, const WriteStep& found) noexcept;
    void begin_change(Task& task, const WriteStep& found) noexcept;
    bool allocate(Task& task, Change& change) noexcept;
    void fill_clusters(Task& task) noexcept;
    void write_data(Task& task) noexcept;
    void data_written(Task& task) noexcept;

    void discard_step(Task& task) noexcept;
    bool left_over(std::uint64_t guest_cluster, std::uint64_t count) const noexcept;
    void wait_for_clusters(Task& task, std::uint64_t first, std::uint64_t count) noexcept;
    bool claimed(const Task& task, std::uint64_t first, std::uint64_t count) const noexcept;
    void end(tables::Task& task, std::error_code error) noexcept override;
    void undo(Task& task) noexcept;
    void group_over(std::error_code error) noexcept override;

    Image& image_;
    std::span<Task> tasks_;
    WriteMap map_;
    FileEnd file_end_;
    CommitPlan plan_;
    tables::Committer committer_;
    ClusterFiller filler_;
    tables::TaskList blocked_;  ///< tasks that wait for clusters of other requests
};

}  // namespace blktap::qcow2
