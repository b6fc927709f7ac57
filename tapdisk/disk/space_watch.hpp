// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SpaceWatch: queries the free space of an image's file system, on a worker, because a network file system may be slow
// to answer. Only on request: for an idle disk it makes no query.
//
// Tested by tests/unit/tapdisk/disk/full_disk_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "libblktap/base/worker_pool.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class SpaceWatch {
  public:
    struct Space {
        std::uint64_t free_bytes = 0;  ///< space that this process may use
        std::uint64_t total_bytes = 0;
        bool file_cut = false;  ///< the file is shorter than SpaceSource::least_bytes
    };
    /// Called on the loop's thread with the answer; not called if the file system gives none.
    using Told = std::function<void(const Space&)>;

    /// `workers` outlives the watch. The watch must not be destroyed while busy().
    SpaceWatch(WorkerPool& workers, Told told);
    SpaceWatch(const SpaceWatch&) = delete;
    SpaceWatch& operator=(const SpaceWatch&) = delete;
    ~SpaceWatch();

    /// Queries the file system of `source`, whose file must stay open while busy(), and whether the file is as long as
    /// it must be. No-op while busy().
    void ask(const SpaceSource& source) noexcept;
    /// The same, synchronously. Returns nullopt if the file system gives no answer. Context: any thread; may block.
    static std::optional<Space> look(const SpaceSource& source) noexcept;
    bool busy() const noexcept { return busy_; }

  private:
    struct Job : WorkerJob {
        SpaceWatch* watch = nullptr;
        SpaceSource source{};
        std::optional<Space> space{};
    };
    static void run(Job& job) noexcept;

    WorkerPool& workers_;
    const Told told_;
    Job job_;
    bool busy_ = false;
};

}  // namespace blktap
