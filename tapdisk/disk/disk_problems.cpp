// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/disk_problems.hpp"

#include <ctime>

#include "libblktap/base/log.hpp"
#include "tapdisk/disk/retry_delays.hpp"

namespace blktap {

DiskProblems::DiskProblems(EventLoop& loop) : loop_(loop), states_(problem_quiet), timer_(loop, [this] { tell(); }) {}

void DiskProblems::changed(const Wrong& wrong, const std::string& path) {
    wrong_ = wrong;
    path_ = path;
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    ipc::Problems problems;
    const auto add = [&problems, now](bool is_wrong, const char* name, const char* text) {
        if (is_wrong) problems.problems.push_back({name, now, text});
    };
    add(wrong.no_space, "no-space", "no space on the host: writes wait");
    add(wrong.io_error, "io-error", "the storage fails: requests wait");
    add(wrong.flush_failed, "flush-failed",
        "a flush failed: flushes are held until the loss is accepted, writes are refused until the image is opened "
        "again");
    add(wrong.low_space, "low-space", "little space is left on the host");
    add(wrong.storage_busy, "storage-busy", "the storage says \"not now\" (EAGAIN) again and again: requests wait");
    add(wrong.file_cut, "file-cut", "a file of the image became shorter: requests fail until it is opened again");
    states_.see(problems, loop_.clock().now());
    tell();
}

void DiskProblems::tell() {
    const auto changes = states_.take(loop_.clock().now());
    for (const auto& [problem, begins] : changes) {
        if (begins) {
            log::warning("problem", {{"image", path_}, {"name", problem.name}, {"state", problem.text}});
        } else {
            log::info("problem.over", {{"image", path_}, {"name", problem.name}});
        }
    }
    if (!changes.empty()) on_change_();
    const Nanoseconds now = loop_.clock().now();
    if (const auto next = states_.next(now)) timer_.arm(*next - now);
}

}  // namespace blktap
