// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskProblems: what is wrong with a disk, in words: why it does not serve, and what its tapdisk says of its storage.
// Each that comes or goes has a line in the log and a run of the operator's program, once.
//
// Tested by tests/unit/tapback/disk_problems_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/problem_hook.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/problem_states.hpp"

namespace blktap::tapback {

class DiskProblems {
  public:
    /// A storage's problem is over when it has stayed away for this long; its tapdisk has waited for a while before.
    static constexpr Nanoseconds quiet = std::chrono::seconds(2);

    /// `disk`: its name. `changed`: what there is to tell has changed. `loop` and `hook` outlive this.
    DiskProblems(EventLoop& loop, ProblemHook& hook, std::string disk, std::function<void()> changed);
    DiskProblems(const DiskProblems&) = delete;
    DiskProblems& operator=(const DiskProblems&) = delete;

    /// Why it does not serve; empty: that is over. False: it is what it was.
    bool set_reason(const std::string& reason);
    const std::string& reason() const noexcept { return reason_; }
    /// What its tapdisk says is wrong now.
    void see(const ipc::Problems& problems);
    /// The tapdisk that said so is gone, and nobody knows of the end of what it said.
    void forget_storage();

    /// All that is wrong, in one line.
    std::string text() const;
    /// Whether somebody must be told what text() says.
    bool is_told() const noexcept { return told_; }
    void tell() noexcept { told_ = true; }

  private:
    void take();

    EventLoop& loop_;
    ProblemHook& hook_;
    const std::string disk_;
    const std::function<void()> changed_;
    std::string reason_;
    ipc::ProblemStates storage_{quiet};
    bool told_ = true;
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
