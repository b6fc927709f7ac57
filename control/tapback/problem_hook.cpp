// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/problem_hook.hpp"

#include "control/tapback/child_process.hpp"
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
    try {
        if (running_.size() >= running_max)
            throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                        std::to_string(running_max) + " of it run already");
        ChildProcess child = spawn_child({program_, vbd, problem.name, begins ? "begin" : "end", problem.text});
        const pid_t pid = child.pid;
        const int fd = child.pidfd.get();
        running_.emplace(pid, new Running{std::move(child), {loop_, fd, EPOLLIN, [this, pid](auto) { ended(pid); }}});
    } catch (const std::system_error& error) {
        log::warning("problem-hook", {{"program", program_}, {"vbd", vbd}, {"reason", error.what()}});
    }
}

void ProblemHook::ended(pid_t pid) {
    const auto running = running_.extract(pid);
    const std::string end = running.mapped()->child.reap();
    if (end != "exited with status 0") log::warning("problem-hook", {{"program", program_}, {"reason", end}});
}

}  // namespace blktap::tapback
