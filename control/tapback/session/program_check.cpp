// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/program_check.hpp"

#include <optional>
#include <utility>

#include "control/tapback/system/child_process.hpp"

namespace blktap::tapback {
namespace {

class RunningCheck : public ProgramCheck {
  public:
    RunningCheck(EventLoop& loop, const std::vector<std::string>& command, Done done)
        : child_(spawn_child(command)), done_(std::move(done)) {
        watch_.emplace(loop, child_.pidfd.get(), EPOLLIN, [this](auto) { ended(); });
    }
    ~RunningCheck() override {
        if (done_) child_.kill();
    }

  private:
    void ended() {
        const std::string end = child_.reap();
        watch_.reset();
        const Done done = std::exchange(done_, nullptr);
        done(end == "exited with status 0" ? "" : "the installed tapdisk cannot go on with its recovery log: " + end);
    }

    ChildProcess child_;
    Done done_;  ///< null: it has ended
    std::optional<EventLoop::Watch> watch_;
};

}  // namespace

std::unique_ptr<ProgramCheck> ask_program(EventLoop& loop, const std::vector<std::string>& command,
                                          ProgramCheck::Done done) {
    return std::make_unique<RunningCheck>(loop, command, std::move(done));
}

}  // namespace blktap::tapback
