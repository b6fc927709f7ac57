// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/file_end.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <limits>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

/// Ends the file with a hole behind `begin`, at all times.
std::error_code cut(int fd, std::uint64_t begin) noexcept {
    if (const auto error = set_length(fd, begin + tail_bytes)) return error;
    constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (::fallocate(fd, punch, static_cast<off_t>(begin), static_cast<off_t>(tail_bytes)) == 0) return {};
    if (const auto error = set_length(fd, begin)) return error;
    return set_length(fd, begin + tail_bytes);
}

std::error_code lengthen_with_tail(int fd, std::uint64_t begin, std::uint64_t end) noexcept {
    if (const auto error = lengthen(fd, begin + tail_bytes, begin, end)) return error;
    return set_length(fd, end + tail_bytes);
}

}  // namespace

FileEnd::FileEnd(Core& core) noexcept
    : core_(core),
      // The footer is in a device's last sector.
      limit_(core.top().growable ? std::numeric_limits<std::uint64_t>::max()
                                 : round_down(core.top().file_bytes - footer_bytes, core.top().offset_alignment)),
      cuts_first_(core.top().growable && core.top().file_bytes > core.top().file_end) {
    job_.file_end = this;
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
    job_.begin = end;
    job_.needed = needed_;
    job_.ahead = std::clamp(round_down(end / 8, ahead_min_bytes), ahead_min_bytes, ahead_max_bytes);
    busy_ = true;
    core_.workers().start(job_);
}

/// Context: a worker's thread, and nobody else uses what it does.
std::error_code FileEnd::make_room(std::uint64_t begin, std::uint64_t end) const noexcept {
    const Layer& layer = core_.top();
    if (end > limit_) return std::make_error_code(std::errc::no_space_on_device);
    if (!core_.top().growable) return zero_range(layer.fd.get(), begin, end);
    if (const auto error = require_length(layer.fd.get(), least_file_bytes(layer))) return error;
    // A footer, or what was written before a crash and never became part of the image.
    if (cuts_first_) {
        if (const auto error = cut(layer.fd.get(), begin)) return error;
    }
    return lengthen_with_tail(layer.fd.get(), begin, end);
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
    // It moves, and until the image is closed there is only the one at the beginning.
    if (core_.top().growable) core_.top().end_footer = false;
    if (!job_.error) {
        cuts_first_ = false;
        ++activity_.growths;
        activity_.grown_bytes += job_.new_end - job_.begin;
        core_.top().file_end = job_.new_end;
        if (core_.top().growable) core_.top().file_bytes = job_.new_end + tail_bytes;
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

}  // namespace blktap::vhd
