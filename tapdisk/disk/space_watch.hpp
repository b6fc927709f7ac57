// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SpaceWatch: asks how much space the file system of an image has left, on a worker, since a network's may be slow to
// answer. Only when asked to: an idle disk asks nothing.
//
// Tested by tests/unit/tapdisk/full_disk_test.cpp.
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
        std::uint64_t free_bytes = 0;  ///< that this process may use
        std::uint64_t total_bytes = 0;
        bool file_cut = false;  ///< the file itself is shorter than it has been
    };
    /// Called on the loop's thread with the answer. Not when the file system has none.
    using Told = std::function<void(const Space&)>;

    /// `workers` outlives the watch. Nothing may be under way at its end.
    SpaceWatch(WorkerPool& workers, Told told);
    SpaceWatch(const SpaceWatch&) = delete;
    SpaceWatch& operator=(const SpaceWatch&) = delete;
    ~SpaceWatch();

    /// Asks for the file system of `source`, whose file stays open while busy(), and whether that file is as long as it
    /// must be. No-op while busy().
    void ask(const SpaceSource& source) noexcept;
    /// The same at once. Nothing: the file system does not say. Context: any thread; may block.
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
