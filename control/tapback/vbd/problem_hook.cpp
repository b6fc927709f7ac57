// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/problem_hook.hpp"

#include "control/tapback/system/child_process.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {

struct ProblemHook::Running {
    ChildProcess child;
    EventLoop::Watch watch;
};

ProblemHook::ProblemHook(EventLoop& loop, std::string program) : loop_(loop), program_(std::move(program)) {}

ProblemHook::~ProblemHook() = default;

void ProblemHook::run(const std::string& vbd, const ipc::Problem& problem, bool begins) {
    if (program_.empty()) return;
    if (running_.size() < running_max) return start({vbd, problem, begins});
    if (waiting_.size() < waiting_max) {
        waiting_.insert_or_assign({vbd, problem.name}, Change{vbd, problem, begins});
    } else {
        log::warning("problem-hook", {{"program", program_}, {"vbd", vbd}, {"reason", "too many of it run and wait"}});
    }
}

void ProblemHook::start(const Change& change) {
    try {
        ChildProcess child = spawn_child(
            {program_, change.vbd, change.problem.name, change.begins ? "begin" : "end", change.problem.text});
        const pid_t pid = child.pid;
        const int fd = child.pidfd.get();
        running_.emplace(pid, new Running{std::move(child), {loop_, fd, EPOLLIN, [this, pid](auto) { ended(pid); }}});
    } catch (const std::system_error& error) {
        log::warning("problem-hook", {{"program", program_}, {"vbd", change.vbd}, {"reason", error.what()}});
    }
}

void ProblemHook::ended(pid_t pid) {
    const auto running = running_.extract(pid);
    const std::string end = running.mapped()->child.reap();
    if (end != "exited with status 0") log::warning("problem-hook", {{"program", program_}, {"reason", end}});
    if (waiting_.empty()) return;
    start(waiting_.extract(waiting_.begin()).mapped());
}

}  // namespace blktap::tapback
