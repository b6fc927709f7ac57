// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/file_growth.hpp"

#include <algorithm>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/storage_full.hpp"

namespace blktap {
namespace {

// When space is short, less and less is allocated ahead, down to the need of the write itself.
constexpr std::uint64_t ahead_step = 8;
constexpr std::uint64_t ahead_least_bytes = 1ULL << 20;

}  // namespace

FileGrowth::FileGrowth(int fd, const DriverContext& context, const Sizes& sizes, Resumed resumed)
    : fd_(fd), io_(context.io), workers_(context.workers), sizes_(sizes), resumed_(resumed), written_bytes_(sizes.end) {
    job_.growth = this;
    job_.WorkerJob::run = [](WorkerJob& job) noexcept { run(static_cast<Job&>(job)); };
    job_.WorkerJob::done = [](WorkerJob& job) noexcept { static_cast<Job&>(job).growth->done(); };
}

FileGrowth::~FileGrowth() {
    BLKTAP_ASSERT(!busy_ && waiting_.empty());
}

void FileGrowth::give_back_ahead() noexcept {
    BLKTAP_ASSERT(!busy_ && waiting_.empty());
    // Not for a file that somebody cut: this would make it longer.
    if (is_ahead() && !require_length(fd_, written_bytes_)) (void)set_length(fd_, written_bytes_);
}

std::uint64_t FileGrowth::end_of(SectorRange range) const noexcept {
    return round_up(range.offset_bytes() + range.length_bytes(), sizes_.block);
}

bool FileGrowth::covers(const ImageRequest& request) const noexcept {
    using Kind = ImageRequest::Kind;
    if (request.kind == Kind::read) return true;
    const bool writes = request.kind == Kind::write || request.kind == Kind::write_zeroes;
    return !writes || end_of(request.range) <= sizes_.end;
}

bool FileGrowth::admit(FileRequest& request) noexcept {
    if (!busy_ && waiting_.empty() && resizing_ == nullptr && covers(request.request)) return true;
    ++activity_.waited_for_growth;
    waiting_.push_back(request.job);
    look();
    return false;
}

bool FileGrowth::note_write(SectorRange range) noexcept {
    const std::uint64_t end = end_of(range);
    const bool first = end > written_bytes_;
    written_bytes_ = std::max(written_bytes_, end);
    if (first) front_bytes_ = end;
    return first;
}

std::uint64_t FileGrowth::ahead() const noexcept {
    return std::clamp(round_down(sizes_.end / 8, ahead_least_bytes), ahead_min_bytes, ahead_max_bytes);
}

/// Fills job_ with the growth that a request waits for. Returns false if none waits.
bool FileGrowth::prepare() noexcept {
    job_.old_end = sizes_.end;
    job_.limit = sizes_.device;
    job_.ahead = ahead();
    job_.resizes = resizing_ != nullptr;
    if (job_.resizes) {
        job_.end = resize_to_;
        return true;
    }
    for (WorkerJob& waiting : waiting_) {
        const ImageRequest& request = FileRequest::of(waiting).request;
        if (covers(request)) continue;
        job_.begin = round_down(request.range.offset_bytes(), sizes_.block);
        job_.end = end_of(request.range);
        return true;
    }
    return false;
}

/// Starts the job unless operations are staged: the worker will hold the file's lock, for which these would wait inside
/// io_submit().
void FileGrowth::look() noexcept {
    const bool wanted = resizing_ != nullptr || !waiting_.empty();
    if (wanted && !busy_ && !io_.staged() && prepare()) start();
}

void FileGrowth::look_ahead() noexcept {
    look();
    const bool due = front_bytes_ != 0 && sizes_.end < sizes_.device && front_bytes_ + ahead() / 2 > sizes_.end;
    if (busy_ || io_.staged() || !due || !goes_ahead_) return;
    (void)prepare();
    job_.begin = job_.end = sizes_.end;
    start();
}

void FileGrowth::start() noexcept {
    busy_ = true;
    workers_.start(job_);
}

void FileGrowth::resize(std::uint64_t device_bytes, FileRequest& request, Resumed resized) noexcept {
    BLKTAP_ASSERT(resizing_ == nullptr && device_bytes >= sizes_.device);
    resizing_ = &request;
    resized_ = resized;
    resize_to_ = device_bytes;
    look();
}

/// Context: a worker's thread.
void FileGrowth::run(Job& job) noexcept {
    const int fd = job.growth->fd_;
    job.new_end = job.end;
    job.error = require_length(fd, job.old_end);
    if (job.error) return;
    if (job.resizes) {
        job.error = job.end > job.old_end ? set_length(fd, job.end) : std::error_code{};
        return;
    }
    for (std::uint64_t ahead = job.ahead;; ahead /= ahead_step) {
        if (ahead < ahead_least_bytes) ahead = 0;
        job.new_end = std::min(job.end + ahead, job.limit);
        // A write far behind the end leaves a hole: the space before it may never be needed.
        const bool near = job.begin <= job.old_end + job.ahead;
        const std::uint64_t begin = near && ahead > 0 ? job.old_end : std::max(job.begin, job.old_end);
        job.error = lengthen(fd, job.old_end, begin, job.new_end);
        const bool ahead_only = job.end == job.old_end;
        if (!storage_full(job.error) || ahead == 0 || ahead_only) return;
    }
}

void FileGrowth::done() noexcept {
    busy_ = false;
    if (job_.resizes) {
        if (!job_.error) {
            sizes_.device = job_.end;
            sizes_.end = std::max(sizes_.end, job_.end);
            written_bytes_ = sizes_.end;
        }
    } else if (!job_.error) {
        ++activity_.growths;
        activity_.grown_bytes += job_.new_end - sizes_.end;
        sizes_.end = job_.new_end;
    }
    if (!job_.resizes) goes_ahead_ = !job_.error && job_.new_end >= std::min(job_.end + job_.ahead, job_.limit);

    WaitingRequests waiting;
    waiting.swap(waiting_);
    if (job_.resizes) resized_(*std::exchange(resizing_, nullptr), job_.error);
    settle(waiting);
    look();
}

/// Resumes requests that fit now, and fails those for which the job could not make room.
void FileGrowth::settle(WaitingRequests& waiting) noexcept {
    const bool failed = job_.error && !job_.resizes && job_.end > job_.old_end;
    const std::error_code error = job_.error;
    WaitingRequests later;
    while (!waiting.empty()) {
        FileRequest& request = take_first(waiting);
        if (covers(request.request)) {
            resumed_(request, {});
        } else if (failed) {
            resumed_(request, error);
        } else {
            later.push_back(request.job);
        }
    }
    // Requests that began to wait meanwhile are younger.
    later.splice_after(later.last(), waiting_);
    waiting_.swap(later);
}

}  // namespace blktap
