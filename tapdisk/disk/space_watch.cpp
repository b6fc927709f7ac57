// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/space_watch.hpp"

#include <sys/statvfs.h>
#include <utility>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/assert.hpp"

namespace blktap {

SpaceWatch::SpaceWatch(WorkerPool& workers, Told told) : workers_(workers), told_(std::move(told)) {
    job_.watch = this;
    job_.WorkerJob::run = [](WorkerJob& job) noexcept { run(static_cast<Job&>(job)); };
    job_.WorkerJob::done = [](WorkerJob& job) noexcept {
        auto& its = static_cast<Job&>(job);
        its.watch->busy_ = false;
        if (its.space) its.watch->told_(*its.space);
    };
}

SpaceWatch::~SpaceWatch() {
    BLKTAP_ASSERT(!busy_);
}

void SpaceWatch::ask(const SpaceSource& source) noexcept {
    if (busy_) return;
    busy_ = true;
    job_.source = source;
    workers_.start(job_);
}

std::optional<SpaceWatch::Space> SpaceWatch::look(const SpaceSource& source) noexcept {
    struct statvfs status {};
    if (::fstatvfs(source.fd, &status) != 0) return std::nullopt;
    const std::uint64_t unit = status.f_frsize;
    const bool cut = require_length(source.fd, source.least_bytes) == Errc::unexpected_end_of_file;
    return Space{status.f_bavail * unit, status.f_blocks * unit, cut};
}

void SpaceWatch::run(Job& job) noexcept {
    job.space = look(job.source);
}

}  // namespace blktap
