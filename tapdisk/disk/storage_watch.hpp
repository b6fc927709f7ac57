// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageWatch: retries parked requests and operations that the kernel refused for now, checks the space on the file
// system, and notices a flush that takes long, from time to time. While nothing waits and there is no traffic, it does
// nothing.
//
// Tested by tests/unit/tapdisk/disk/full_disk_test.cpp, refused_io_test.cpp, tests/unit/tapdisk/idle_test.cpp.
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
    /// `driver` returns the driver of the open image, or null if it must not be used. All references outlive the
    /// object.
    StorageWatch(EventLoop& loop, WorkerPool& workers, IoQueue& io, Scheduler& scheduler, StorageHealth& health,
                 std::function<ImageDriver*()> driver);

    /// Called each turn.
    void look();
    /// An image has just been opened: queries its space at once, which may block.
    void image_opened();
    void image_closed() noexcept { low_space_ = false; }
    /// A query is under way that uses the image's file.
    bool busy() const noexcept { return space_.busy(); }

    /// Little space is left, by the image's policy.
    bool low_space() const noexcept { return low_space_; }
    /// The kernel or the storage says "not now" for so long that the operator should know.
    bool refused_for_long() const noexcept;

  private:
    void look_at_refused();
    void retry_refused() noexcept;
    void look_at_parked();
    void look_at_flushes();
    void note_late_flush();
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
    EventLoop::Timer kernel_timer_;  ///< retries operations that the kernel refused for now
    EventLoop::Timer retry_timer_;   ///< retries parked requests
    EventLoop::Timer space_timer_;   ///< queries the file system's space, after traffic or while requests wait for it
    EventLoop::Timer flush_timer_;   ///< looks whether a flush has ended since it was armed
    Nanoseconds retry_delay_;
    Nanoseconds kernel_delay_;
    std::optional<Nanoseconds> refused_since_;  ///< since when the kernel or the storage answers "not now"
    std::uint64_t flushes_ended_ = 0;
    std::uint64_t taken_at_space_check_ = 0;
    std::optional<std::uint64_t> least_free_bytes_;  ///< the least free space while requests wait for space
    bool low_space_ = false;
};

}  // namespace blktap
