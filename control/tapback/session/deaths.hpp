// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Deaths: the deaths of a disk's tapdisks within the last minute, and what people are told of them. A tapdisk that dies
// again and again must not be started for ever: perhaps a request of its guest kills it. tapback counts anew when it
// starts.
//
// Tested by tests/unit/tapback/session/deaths_test.cpp.
#pragma once

#include <deque>
#include <string>

#include "libblktap/base/clock.hpp"

namespace blktap::tapback {

class Deaths {
  public:
    static constexpr Nanoseconds window = std::chrono::minutes(1);

    /// After `limit` deaths within a minute no other tapdisk is started; 0: always. `disk`: the disk's name. Both
    /// references outlive this.
    Deaths(const Clock& clock, const std::string& disk, unsigned limit) noexcept
        : clock_(clock), disk_(disk), limit_(limit) {}

    /// A tapdisk has died now.
    void add();
    void forget() noexcept { times_.clear(); }
    /// Whether another tapdisk may be started.
    bool may_go_on() const noexcept { return limit_ == 0 || times_.size() < limit_; }

    /// Logs a death.
    void tell(const std::string& pid, const std::string& reason, bool another_goes_on) const;
    /// The cure of a disk that is held, for people.
    std::string cure() const { return "\"tap-ctl recover " + disk_ + "\" starts another one"; }
    /// `reason`: how the last one died: "killed by signal 9 (SIGKILL)".
    std::string problem(const std::string& reason) const;

  private:
    const Clock& clock_;
    const std::string& disk_;
    const unsigned limit_;
    std::deque<Nanoseconds> times_;
};

}  // namespace blktap::tapback
