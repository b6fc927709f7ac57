// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileSync: makes completed writes to an image's files durable, by an operation of the queue, or by a worker if AIO has
// no such operation (kernels before 4.18, some file systems: found out by the first try) or there are two files.
//
// Tested by tests/unit/drivers/file_sync_test.cpp.
#pragma once

#include "drivers/shared/file_request.hpp"
#include "libblktap/aio/io_queue.hpp"

namespace blktap {

class FileSync {
  public:
    /// Called on the loop's thread with the result for a request of start().
    using Synced = void (*)(FileRequest&, std::error_code) noexcept;

    /// `data_fd`, or -1, is synced before `fd`. Lifetime: all outlive this.
    FileSync(IoQueue& io, WorkerPool& workers, Synced synced, int fd, int data_fd = -1) noexcept
        : io_(io),
          workers_(workers),
          synced_(synced),
          fd_(fd),
          data_fd_(data_fd),
          way_(data_fd < 0 ? Way::untried_queue : Way::workers) {}
    FileSync(const FileSync&) = delete;
    FileSync& operator=(const FileSync&) = delete;

    /// Starts a sync, which ends in a call of `synced`.
    void start(FileRequest& request) noexcept;

  private:
    enum class Way { untried_queue, queue, workers };

    void queue_done(FileRequest& request) noexcept;
    void start_job(FileRequest& request) noexcept;
    std::error_code sync() const noexcept;

    IoQueue& io_;
    WorkerPool& workers_;
    const Synced synced_;
    const int fd_;
    const int data_fd_;
    Way way_;
};

}  // namespace blktap
