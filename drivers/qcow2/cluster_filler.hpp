// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ClusterFiller: fills new clusters, or subclusters, around the guest's data: with the disk's old contents, from the
// backing file or the replaced cluster, or with zeros, unless the space reads as zeros already.
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
    /// Size and number of the buffers in which old contents are copied.
    static constexpr std::size_t buffer_bytes = 64 * 1024;
    static constexpr std::size_t buffers_max = 16;

    /// Lifetime: both outlive this. Errors: throws std::system_error (ENOMEM).
    ClusterFiller(Image& image, const WriteMap& map);
    ClusterFiller(const ClusterFiller&) = delete;
    ClusterFiller& operator=(const ClusterFiller&) = delete;

    /// Fills the clusters of the newest change of `task`, for which the file has room, except [task.at, task.at +
    /// task.length), the guest's data; also that range if it shares blocks with copied contents. Then calls `filled`.
    /// Errors go to `filled`: Errc::image_invalid, those of the I/O.
    void fill(Task& task, tables::Task::Next filled) noexcept;

  private:
    /// A Task::Next that continues with `step`, or ends the filling after an error.
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
    tables::TaskList buffer_wait_;  ///< tasks that wait for a buffer
};

}  // namespace blktap::qcow2
