// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageWatch: looks again, from time to time, at what a disk waits for: requests that are parked, operations that the
// kernel refused for now, space on the file system. Nothing waits or was sent: it does nothing.
//
// Tested by tests/unit/tapdisk/full_disk_test.cpp, refused_io_test.cpp, idle_test.cpp.
#pragma once

#include <functional>
#include <optional>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/worker_pool.hpp"
#include "tapdisk/disk/scheduler.hpp"
#include "tapdisk/disk/space_watch.hpp"

namespace blktap {

class StorageWatch {
  public:
    /// `driver` returns the open image that the storage may be asked about, or null. All references outlive the object.
    StorageWatch(EventLoop& loop, WorkerPool& workers, IoQueue& io, Scheduler& scheduler, StorageHealth& health,
                 std::function<ImageDriver*()> driver);

    /// Called each turn.
    void look();
    /// An image has just been opened, which may block: asks for its space at once.
    void image_opened();
    void image_closed() noexcept { low_space_ = false; }
    /// A question is under way that uses the image's file.
    bool busy() const noexcept { return space_.busy(); }

    /// Little space is left, by the image's policy.
    bool low_space() const noexcept { return low_space_; }
    /// The kernel or the storage says "not now" for so long that the operator should know.
    bool refused_for_long() const noexcept;

  private:
    void look_at_refused();
    void retry_refused() noexcept;
    void look_at_parked();
    Nanoseconds next_retry() const;
    void try_again();
    void ask_for_space();
    void told_space(const SpaceWatch::Space& space);

    EventLoop& loop_;
    IoQueue& io_;
    Scheduler& scheduler_;
    StorageHealth& health_;
    const std::function<ImageDriver*()> driver_;
    SpaceWatch space_;
    EventLoop::Timer kernel_timer_;  ///< tries again what the kernel refused for now
    EventLoop::Timer retry_timer_;   ///< tries parked requests again
    EventLoop::Timer space_timer_;   ///< asks for the file system's space, after traffic or while requests wait for it
    Nanoseconds retry_delay_;
    Nanoseconds kernel_delay_;
    std::optional<Nanoseconds> refused_since_;  ///< since when the kernel or the storage answers "not now"
    std::uint64_t taken_at_space_check_ = 0;
    std::optional<std::uint64_t> least_free_bytes_;  ///< seen since requests wait for space
    bool low_space_ = false;
};

}  // namespace blktap
