// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProblemStates: decides which changes of a disk's problems are reported, and when. A guest on a full file system can
// switch "no-space" on and off as fast as its requests fail and succeed, and each reported change is a line of the log,
// a write to xenstore and a run of the operator's program. So a beginning is reported at once, up to a limit, and an
// end once the problem has stayed away for a while. Changes in between are never reported, nor are more problems than a
// disk can have.
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
    static constexpr std::size_t problems_max = 16;     ///< at once; far more than there are kinds
    static constexpr std::size_t text_max_bytes = 256;  ///< of a name, and of a text
    static constexpr int beginnings_burst = 8;          ///< reported at once
    static constexpr Nanoseconds beginnings_interval = std::chrono::seconds(10);  ///< after a burst

    /// The end of a problem is reported when it has stayed away for `quiet`.
    explicit ProblemStates(Nanoseconds quiet) noexcept : quiet_(quiet) {}

    /// Takes all current problems. The last state wins: no change is queued.
    void see(const Problems& now_wrong, Nanoseconds now);
    /// Returns the changes to report now; each is returned once.
    std::vector<Change> take(Nanoseconds now);
    /// When to call take() again, unless see() comes first; nullopt: no change waits.
    std::optional<Nanoseconds> next(Nanoseconds now) const;
    /// Problems whose beginning was reported, and whose end was not.
    const Problems& told() const noexcept { return told_; }

  private:
    bool is_told(const std::string& name) const noexcept;

    Nanoseconds quiet_;
    std::map<std::string, Problem> wrong_;     ///< by name, as last seen
    std::map<std::string, Nanoseconds> away_;  ///< reported problems that have ended, by name: since when
    Problems told_;
    Pace beginnings_{beginnings_burst, beginnings_interval};
};

}  // namespace blktap::ipc
