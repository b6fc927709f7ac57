// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/file_sync.hpp"

#include <unistd.h>

#include "libblktap/base/error.hpp"

namespace blktap {

void FileSync::start(FileRequest& request) noexcept {
    request.sync = this;
    if (way_ == Way::workers) return start_job(request);
    request.io.kind = IoOp::Kind::fdatasync;
    request.io.fd = fd_;
    request.io.data = {};
    request.io.allocates = false;
    request.io.completed = [](IoOp& io) noexcept {
        FileRequest& its = FileRequest::of(io);
        its.sync->queue_done(its);
    };
    io_.stage(request.io);
}

void FileSync::queue_done(FileRequest& request) noexcept {
    const std::error_code error = request.io.error;
    const bool refused = error == std::errc::invalid_argument || error == std::errc::operation_not_supported;
    // Only until the first success: later such an error comes from the disk and must not be retried into success.
    if (refused && way_ != Way::queue) {
        way_ = Way::workers;
        return start_job(request);
    }
    if (!error) way_ = Way::queue;
    synced_(request, error);
}

void FileSync::start_job(FileRequest& request) noexcept {
    request.job.run = [](WorkerJob& job) noexcept {
        FileRequest& its = FileRequest::of(job);
        its.job_error = its.sync->sync();
    };
    request.job.done = [](WorkerJob& job) noexcept {
        FileRequest& its = FileRequest::of(job);
        its.sync->synced_(its, its.job_error);
    };
    workers_.start(request.job);
}

/// Context: a worker's thread.
std::error_code FileSync::sync() const noexcept {
    if (data_fd_ >= 0 && ::fdatasync(data_fd_) != 0) return last_system_error();
    return ::fdatasync(fd_) == 0 ? std::error_code{} : last_system_error();
}

}  // namespace blktap
