// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProblemHook: runs the operator's program when a problem of a disk's storage begins, and when it ends:
//
//     PROGRAM DOMAIN/DEVICE NAME begin|end TEXT
//
// tapback does not wait for the program. Several may run at once, one for each change, up to a limit: a program that
// hangs must not use up the host's processes. Beyond the limit, the last change of each problem waits for a free place.
//
// Tested by tests/unit/tapback/vbd/problem_hook_test.cpp.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

class ProblemHook {
  public:
    static constexpr std::size_t running_max = 16;
    static constexpr std::size_t waiting_max = 1024;

    /// `program`: an absolute path; empty: nothing is run. `loop` outlives this.
    ProblemHook(EventLoop& loop, std::string program);
    ProblemHook(const ProblemHook&) = delete;
    ProblemHook& operator=(const ProblemHook&) = delete;
    /// Leaves running programs alone.
    ~ProblemHook();

    /// A program that cannot be started is logged, and no error.
    void run(const std::string& vbd, const ipc::Problem& problem, bool begins);
    std::size_t running() const noexcept { return running_.size(); }

  private:
    struct Running;
    struct Change {
        std::string vbd;
        ipc::Problem problem;
        bool begins;
    };
    void start(const Change& change);
    void ended(pid_t pid);

    EventLoop& loop_;
    const std::string program_;
    std::map<pid_t, std::unique_ptr<Running>> running_;
    std::map<std::pair<std::string, std::string>, Change> waiting_;  ///< by disk and problem
};

}  // namespace blktap::tapback
