// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ClusterFiller: what new clusters, or subclusters, get around the guest's data: what the disk had there, from the
// backing file or the cluster that is replaced, or zeros, unless they read as zeros already.
//
// Tested by tests/unit/qcow2/qcow2_driver_test.cpp and tests/property/qcow2_property_test.cpp.
#pragma once

#include <span>
#include <vector>

#include "drivers/qcow2/image.hpp"
#include "drivers/qcow2/task.hpp"
#include "drivers/qcow2/write_map.hpp"

namespace blktap::qcow2 {

class ClusterFiller {
  public:
    /// Pieces in which old contents are copied, and how many at once.
    static constexpr std::size_t buffer_bytes = 64 * 1024;
    static constexpr std::size_t buffers_max = 16;

    /// Lifetime: both outlive this. Errors: throws std::system_error (ENOMEM).
    ClusterFiller(Image& image, const WriteMap& map);
    ClusterFiller(const ClusterFiller&) = delete;
    ClusterFiller& operator=(const ClusterFiller&) = delete;

    /// Fills what the newest change of `task` adds, for which the file has room, but [task.at, task.at + task.length),
    /// the guest's data: or that too, where the data shares blocks with what is copied. Then calls `filled`. Errors
    /// through it: Errc::image_invalid, those of the I/O.
    void fill(Task& task, tables::Task::Next filled) noexcept;

  private:
    /// A Task::Next: goes on with `step`, or is over.
    template <void (ClusterFiller::*step)(Task&) noexcept>
    static void then(tables::Task& waited, std::error_code error) noexcept {
        Task& task = static_cast<Task&>(waited);
        if (error) return task.copy.filler->end(task, error);
        (task.copy.filler->*step)(task);
    }
    void copy_old(Task& task) noexcept;
    void use_extent(Task& task) noexcept;
    bool take_buffer(Task& task) noexcept;
    void give_back_buffer(Task& task) noexcept;
    void write_buffer(Task& task) noexcept;
    void buffer_written(Task& task) noexcept;
    void end(Task& task, std::error_code error) noexcept;

    Image& image_;
    const WriteMap& map_;
    Mapping buffers_;
    std::vector<std::span<std::byte>> free_buffers_;
    tables::TaskList buffer_wait_;  ///< for a buffer
};

}  // namespace blktap::qcow2
