// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ClosingJob: has a worker do the last work on a driver's files when the driver is closed, because it may block.
//
// Tested by tests/unit/drivers/file_growth_test.cpp.
#pragma once

#include <utility>

#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class ClosingJob {
  public:
    /// `workers` outlives this.
    explicit ClosingJob(WorkerPool& workers) noexcept : workers_(workers) {
        job_.owner = this;
        job_.WorkerJob::run = [](WorkerJob& job) noexcept { static_cast<Job&>(job).owner->work_(); };
        job_.WorkerJob::done = [](WorkerJob& job) noexcept {
            // `closed` may destroy this object.
            const auto closed = std::exchange(static_cast<Job&>(job).owner->closed_, nullptr);
            closed();
        };
    }
    ClosingJob(const ClosingJob&) = delete;
    ClosingJob& operator=(const ClosingJob&) = delete;

    /// Has a worker call `work`, which must not throw, then calls `closed` on the loop's thread. Once.
    void start(std::function<void()> work, ImageDriver::Closed closed) noexcept {
        work_ = std::move(work);
        closed_ = std::move(closed);
        workers_.start(job_);
    }

  private:
    struct Job : WorkerJob {
        ClosingJob* owner = nullptr;
    };
    WorkerPool& workers_;
    Job job_;
    std::function<void()> work_;
    ImageDriver::Closed closed_;
};

}  // namespace blktap
