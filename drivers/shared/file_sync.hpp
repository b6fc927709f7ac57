// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileSync: makes what was written to an image's files durable, by an operation of the queue, or by a worker where AIO
// has no such operation (kernels before 4.18, some file systems: the first try tells) or there is more than one file.
//
// Tested by tests/unit/drivers/file_sync_test.cpp.
#pragma once

#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

/// `Owner` has `FileSync<Owner>& file_sync()` and `void synced(ImageRequest&, std::error_code) noexcept`, which
/// FileSync calls.
template <class Owner>
class FileSync {
  public:
    /// `data_fd` is synced before `fd`; -1: there is none. Lifetime: all outlive this.
    FileSync(IoQueue& io, WorkerPool& workers, int fd, int data_fd = -1) noexcept
        : io_(io),
          workers_(workers),
          fd_(fd),
          data_fd_(data_fd),
          way_(data_fd < 0 ? Way::untried_queue : Way::workers) {}

    /// Uses request.io, job, job_error and driver. Ends with Owner::synced(), on the loop's thread.
    void start(Owner& owner, ImageRequest& request) noexcept {
        request.driver = &owner;
        if (way_ == Way::workers) return start_job(request);
        request.io.kind = IoOp::Kind::fdatasync;
        request.io.fd = fd_;
        request.io.data = {};
        request.io.allocates = false;
        request.io.completed = [](IoOp& io) noexcept { owner_of(ImageRequest::of(io)).file_sync().queue_done(io); };
        io_.stage(request.io);
    }

  private:
    enum class Way { untried_queue, queue, workers };

    static Owner& owner_of(const ImageRequest& request) noexcept { return *static_cast<Owner*>(request.driver); }

    void queue_done(IoOp& io) noexcept {
        ImageRequest& request = ImageRequest::of(io);
        const bool refused = io.error == std::errc::invalid_argument || io.error == std::errc::operation_not_supported;
        // Only until one has worked: from then on, such an error is the disk's and must not be retried into success.
        if (refused && way_ != Way::queue) {
            way_ = Way::workers;
            return start_job(request);
        }
        if (!io.error) way_ = Way::queue;
        owner_of(request).synced(request, io.error);
    }
    void start_job(ImageRequest& request) noexcept {
        request.job.run = [](WorkerJob& job) noexcept {
            ImageRequest& its_request = ImageRequest::of(job);
            its_request.job_error = owner_of(its_request).file_sync().sync();
        };
        request.job.done = [](WorkerJob& job) noexcept {
            ImageRequest& its_request = ImageRequest::of(job);
            owner_of(its_request).synced(its_request, its_request.job_error);
        };
        workers_.start(request.job);
    }
    /// Context: a worker's thread.
    std::error_code sync() const noexcept {
        if (data_fd_ >= 0 && ::fdatasync(data_fd_) != 0) return last_system_error();
        return ::fdatasync(fd_) == 0 ? std::error_code{} : last_system_error();
    }

    IoQueue& io_;
    WorkerPool& workers_;
    const int fd_;
    const int data_fd_;
    Way way_;
};

}  // namespace blktap
