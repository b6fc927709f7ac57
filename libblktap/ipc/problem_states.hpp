// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProblemStates: which changes of a disk's problems people are told, and when. A guest on a full file system can switch
// "no-space" on and off as fast as its requests fail and work; each change that is told is a line of the log, a write
// to xenstore and a program of the operator's. So a beginning is told at once, a few times, and an end when the problem
// has stayed away for a while. What comes and goes in between is never told, nor what is more than a disk can have.
//
// Tested by tests/unit/ipc/problem_states_test.cpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/base/pace.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::ipc {

class ProblemStates {
  public:
    struct Change {
        Problem problem{};
        bool begins = false;
    };
    static constexpr std::size_t problems_max = 16;                               ///< there are four; more is nonsense
    static constexpr std::size_t text_max_bytes = 256;                            ///< of a name as of a text
    static constexpr int beginnings_burst = 8;                                    ///< told at once
    static constexpr Nanoseconds beginnings_interval = std::chrono::seconds(10);  ///< after a burst

    /// An end is told when the problem has stayed away for `quiet`.
    explicit ProblemStates(Nanoseconds quiet) noexcept : quiet_(quiet) {}

    /// What is wrong now, all of it. The last state wins: nothing is queued.
    void see(const Problems& now_wrong, Nanoseconds now);
    /// What is to be told now; each change is given once.
    std::vector<Change> take(Nanoseconds now);
    /// When to take() again, unless see() comes first; nullopt: nothing waits.
    std::optional<Nanoseconds> next(Nanoseconds now) const;
    /// Those whose beginning was told, and whose end was not.
    const Problems& told() const noexcept { return told_; }

  private:
    bool is_told(const std::string& name) const noexcept;

    Nanoseconds quiet_;
    std::map<std::string, Problem> wrong_;     ///< by name, as last seen
    std::map<std::string, Nanoseconds> away_;  ///< told, and not wrong any more: since when
    Problems told_;
    Pace beginnings_{beginnings_burst, beginnings_interval};
};

}  // namespace blktap::ipc
