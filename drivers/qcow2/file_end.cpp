// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/file_end.hpp"

#include <algorithm>

#include "drivers/shared/blocking_io.hpp"

namespace blktap::qcow2 {

FileEnd::FileEnd(Core& core) noexcept : core_(core) {
    job_.file_end = this;
    job_.fd = core.top().fd.get();
    job_.WorkerJob::run = [](WorkerJob& job) noexcept { run(static_cast<Job&>(job)); };
    job_.WorkerJob::done = [](WorkerJob& job) noexcept { static_cast<Job&>(job).file_end->done(); };
}

bool FileEnd::reach(Task& task, std::uint64_t end_bytes) noexcept {
    if (end_bytes <= core_.top().file_end) return true;
    waiting_.push_back(task);
    needed_ = std::max(needed_, end_bytes);
    if (!busy_) start();
    return false;
}

bool FileEnd::look_ahead(std::uint64_t end_bytes) noexcept {
    const bool near = end_bytes + ahead_min_bytes / 2 > core_.top().file_end;
    if (busy_ || !goes_ahead_ || !near || !core_.top().growable) return false;
    needed_ = core_.top().file_end;
    start();
    return true;
}

void FileEnd::start() noexcept {
    const std::uint64_t end = core_.top().file_end;
    job_.old_end = end;
    job_.needed = needed_;
    job_.ahead = std::clamp(round_down(end / 8, ahead_min_bytes), ahead_min_bytes, ahead_max_bytes);
    busy_ = true;
    core_.workers().start(job_);
}

/// Context: a worker's thread.
void FileEnd::run(Job& job) noexcept {
    if (!job.file_end->core_.top().growable) {
        job.error = std::make_error_code(std::errc::no_space_on_device);
        return;
    }
    job.error = require_length(job.fd, job.old_end);
    if (job.error) return;
    job.new_end = job.needed + job.ahead;
    job.error = lengthen(job.fd, job.old_end, job.old_end, job.new_end);
    if (!job.error || job.needed <= job.old_end) return;
    job.new_end = job.needed;
    job.error = lengthen(job.fd, job.old_end, job.old_end, job.new_end);
}

void FileEnd::done() noexcept {
    busy_ = false;
    if (!job_.error) {
        ++activity_.growths;
        activity_.grown_bytes += job_.new_end - job_.old_end;
        core_.top().file_end = job_.new_end;
    }
    goes_ahead_ = !job_.error && job_.new_end > job_.needed;
    const bool covers = needed_ <= core_.top().file_end;
    if (!covers && (!job_.error || job_.needed < needed_)) return start();
    needed_ = 0;
    TaskList waiting;
    waiting.swap(waiting_);
    while (!waiting.empty()) {
        Task& task = take_first(waiting);
        ++activity_.waited_for_growth;
        task.next(task, covers ? std::error_code{} : job_.error);
    }
}

void FileEnd::cut(std::uint64_t end_bytes) noexcept {
    if (activity_.growths == 0 || end_bytes >= core_.top().file_end) return;
    if (require_length(job_.fd, end_bytes)) return;  // somebody cut it already, and it must not become longer
    if (!set_length(job_.fd, end_bytes)) core_.top().file_end = end_bytes;
}

}  // namespace blktap::qcow2
