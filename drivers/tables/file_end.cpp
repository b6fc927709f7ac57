// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/file_end.hpp"

#include <algorithm>

#include "drivers/tables/table_driver.hpp"

namespace blktap::tables {

FileEnd::FileEnd(ImageIo& image) noexcept : image_(image) {
    job_.file_end = this;
    job_.WorkerJob::run = [](WorkerJob& job) noexcept { run(static_cast<Job&>(job)); };
    job_.WorkerJob::done = [](WorkerJob& job) noexcept { static_cast<Job&>(job).file_end->done(); };
}

bool FileEnd::reach(Task& task, std::uint64_t end_bytes) noexcept {
    if (end_bytes <= file().file_end) return true;
    waiting_.push_back(task);
    needed_ = std::max(needed_, end_bytes);
    if (!busy_) start();
    return false;
}

void FileEnd::look_ahead(Task& task, std::uint64_t end_bytes) noexcept {
    const bool near = end_bytes + ahead_min_bytes / 2 > file().file_end;
    if (busy_ || !goes_ahead_ || !near || !file().growable) return;
    needed_ = file().file_end;
    task.began_growth = true;
    start();
}

void FileEnd::end_task(Task& task, std::error_code error) noexcept {
    if (!task.began_growth || !busy_) return task.driver->end_task(task, error);
    task.job_error = error;
    task.next = [](Task& its_task, std::error_code) noexcept {
        its_task.driver->end_task(its_task, its_task.job_error);
    };
    waiting_.push_back(task);
}

void FileEnd::start() noexcept {
    const std::uint64_t end = file().file_end;
    job_.begin = end;
    job_.needed = needed_;
    job_.ahead = std::clamp(round_down(end / 8, ahead_min_bytes), ahead_min_bytes, ahead_max_bytes);
    busy_ = true;
    image_.workers().start(job_);
}

/// Context: a worker's thread.
void FileEnd::run(Job& job) noexcept {
    job.new_end = job.needed + job.ahead;
    job.error = job.file_end->make_room(job.begin, job.new_end);
    if (!job.error || job.needed <= job.begin) return;
    job.new_end = job.needed;
    job.error = job.file_end->make_room(job.begin, job.new_end);
}

void FileEnd::done() noexcept {
    busy_ = false;
    if (!job_.error) {
        ++activity_.growths;
        activity_.grown_bytes += job_.new_end - job_.begin;
        file().file_end = job_.new_end;
    }
    room_tried(!job_.error);
    goes_ahead_ = !job_.error && job_.new_end > job_.needed;
    const bool covers = needed_ <= file().file_end;
    if (!covers && (!job_.error || job_.needed < needed_)) return start();
    needed_ = 0;
    activity_.waited_for_growth += waiting_.size();
    go_on_all(waiting_, covers ? std::error_code{} : job_.error);
}

}  // namespace blktap::tables
