// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileRequest: the first part of the scratch of a driver of files: an operation of the queue and a job of the workers,
// of which one at a time is under way, and the way from either back to the request.
//
// Tested by the tests of the drivers: tests/unit/drivers/raw_driver_test.cpp.
#pragma once

#include <boost/intrusive/parent_from_member.hpp>

#include "drivers/shared/storage_errors.hpp"
#include "libblktap/aio/io_op.hpp"
#include "libblktap/base/worker_pool.hpp"
#include "libblktap/driver_api/image_request.hpp"

namespace blktap {

class FileSync;

struct FileRequest {
    /// `its_request`: the request whose scratch this is.
    explicit FileRequest(ImageRequest& its_request) noexcept : request(its_request) {}
    FileRequest(const FileRequest&) = delete;
    FileRequest& operator=(const FileRequest&) = delete;

    ImageRequest& request;
    IoOp io{};
    WorkerJob job{};
    std::error_code job_error{};  ///< the job's result on its way to the loop's thread
    FileSync* sync = nullptr;     ///< set and used by FileSync

    /// Answers the request; the error says whether to retry.
    void complete(std::error_code error) noexcept { request.complete(error, error ? retry_of(error) : Retry::never); }

    /// Returns the request that contains `io` or `job`: for IoOp::completed, WorkerJob::run and WorkerJob::done.
    static FileRequest& of(IoOp& io) noexcept {
        return *boost::intrusive::get_parent_from_member<FileRequest>(&io, &FileRequest::io);
    }
    static FileRequest& of(WorkerJob& job) noexcept {
        return *boost::intrusive::get_parent_from_member<FileRequest>(&job, &FileRequest::job);
    }
};

/// The whole scratch of a driver that needs no other members.
template <class Driver>
struct FileRequestOf : FileRequest {
    FileRequestOf(ImageRequest& its_request, Driver& its_driver) noexcept
        : FileRequest(its_request), driver(its_driver) {}
    Driver& driver;

    static FileRequestOf& of(IoOp& io) noexcept { return static_cast<FileRequestOf&>(FileRequest::of(io)); }
    static FileRequestOf& of(WorkerJob& job) noexcept { return static_cast<FileRequestOf&>(FileRequest::of(job)); }
};

/// Requests that wait for the same condition, linked by their jobs.
using WaitingRequests = boost::intrusive::slist<WorkerJob, boost::intrusive::cache_last<true>>;
inline FileRequest& take_first(WaitingRequests& list) noexcept {
    FileRequest& request = FileRequest::of(list.front());
    list.pop_front();
    return request;
}

}  // namespace blktap
