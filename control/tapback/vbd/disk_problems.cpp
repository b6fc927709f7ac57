// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_problems.hpp"

#include <ctime>
#include <utility>

#include "libblktap/base/log.hpp"

namespace blktap::tapback {

DiskProblems::DiskProblems(EventLoop& loop, ProblemHook& hook, std::string disk, std::function<void()> changed)
    : loop_(loop), hook_(hook), disk_(std::move(disk)), changed_(std::move(changed)), timer_(loop, [this] {
          take();
      }) {}

bool DiskProblems::set_reason(const std::string& reason) {
    if (reason == reason_) return false;
    reason_ = reason;
    told_ = false;
    if (!reason.empty()) log::warning("vbd.problem", {{"vbd", disk_}, {"reason", reason}});
    return true;
}

void DiskProblems::set_held(bool held) {
    if (std::exchange(held_, held) == held) return;
    hook_.run(disk_, {"held", static_cast<std::uint64_t>(std::time(nullptr)), reason_}, held);
}

void DiskProblems::see(const ipc::Problems& problems) {
    storage_.see(problems, loop_.clock().now());
    take();
}

void DiskProblems::take() {
    const Nanoseconds now = loop_.clock().now();
    for (const auto& [problem, begins] : storage_.take(now)) {
        if (begins) {
            log::warning("vbd.problem", {{"vbd", disk_}, {"name", problem.name}, {"reason", problem.text}});
        } else {
            log::info("vbd.problem.over", {{"vbd", disk_}, {"name", problem.name}});
        }
        hook_.run(disk_, problem, begins);
        told_ = false;
        changed_();
    }
    if (const auto next = storage_.next(now)) timer_.arm(*next - now);
}

void DiskProblems::forget_storage() {
    storage_ = ipc::ProblemStates(quiet);
    timer_.disarm();
}

std::string DiskProblems::text() const {
    std::string text = reason_;
    for (const ipc::Problem& problem : storage_.told().problems)
        text += (text.empty() ? "" : "; ") + problem.text;
    return text;
}

}  // namespace blktap::tapback
