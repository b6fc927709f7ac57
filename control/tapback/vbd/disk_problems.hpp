// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskProblems: a disk's problems, in words: why it is not served, and the problems of its storage that its tapdisk
// reports. Each beginning and end is logged and passed to the operator's program, once.
//
// Tested by tests/unit/tapback/vbd/disk_problems_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/vbd/problem_hook.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/problem_states.hpp"

namespace blktap::tapback {

class DiskProblems {
  public:
    /// A problem of the storage is over once it has stayed away for this long, after the tapdisk's own delay.
    static constexpr Nanoseconds quiet = std::chrono::seconds(2);

    /// `disk`: its name. `changed` is called when text() changes. `loop` and `hook` outlive this.
    DiskProblems(EventLoop& loop, ProblemHook& hook, std::string disk, std::function<void()> changed);
    DiskProblems(const DiskProblems&) = delete;
    DiskProblems& operator=(const DiskProblems&) = delete;

    /// Sets the reason why the disk is not served; empty: it is served. Returns false if the reason is unchanged.
    bool set_reason(const std::string& reason);
    const std::string& reason() const noexcept { return reason_; }
    /// Whether the disk is held, because its tapdisk has died: runs the hook when that begins, with the reason, and
    /// when it is over.
    void set_held(bool held);
    /// Takes the current problems that the tapdisk reports.
    void see(const ipc::Problems& problems);
    /// The tapdisk is gone, so its reported problems cannot end any more: forgets them.
    void forget_storage();

    /// Returns all problems, in one line.
    std::string text() const;
    /// Whether text() has changed since it was last reported.
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
    bool held_ = false;
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
