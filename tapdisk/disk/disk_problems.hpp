// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskProblems: reports a disk's problems to the operator: each change once, and at a bounded rate, because a guest can
// make a problem come and go.
//
// Tested by tests/unit/tapdisk/disk/full_disk_test.cpp and tests/unit/tapdisk/vbd_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/problem_states.hpp"

namespace blktap {

class DiskProblems {
  public:
    /// In the order of the texts in disk_problems.cpp.
    struct Wrong {
        bool no_space = false;
        bool io_error = false;
        bool flush_failed = false;
        bool low_space = false;
        bool storage_busy = false;
        bool file_cut = false;

        friend bool operator==(const Wrong&, const Wrong&) = default;
    };

    /// `loop` outlives the object.
    explicit DiskProblems(EventLoop& loop);

    /// Takes the current problems of the image at `path`. Called each turn: texts are made only after a change.
    void see(const Wrong& wrong, const std::string& path) {
        if (wrong != wrong_) changed(wrong, path);
    }
    /// Problems that were reported and are not over.
    const ipc::Problems& told() const noexcept { return states_.told(); }
    /// `changed` is called on the loop's thread whenever told() has changed. It must not throw.
    void on_change(std::function<void()> changed) { on_change_ = std::move(changed); }

  private:
    void changed(const Wrong& wrong, const std::string& path);
    void tell();

    EventLoop& loop_;
    Wrong wrong_;
    std::string path_;
    ipc::ProblemStates states_;
    EventLoop::Timer timer_;  ///< reports changes that could not be reported at once
    std::function<void()> on_change_ = [] {};
};

}  // namespace blktap
