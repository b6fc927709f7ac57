// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Deaths: the deaths of a disk's tapdisks within the last minute, and what people are told of them. A tapdisk that dies
// again and again must not be started for ever: perhaps a request of its guest kills it. The disk's record keeps them,
// and that the disk is held, for the next tapback: perhaps the guest kills that, too.
//
// Tested by tests/unit/tapback/session/deaths_test.cpp.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

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
    /// An operator begins anew.
    void forget() noexcept {
        times_.clear();
        held_.clear();
    }
    /// The disk is held, for this reason, until go_on() or forget().
    void hold(const std::string& reason) { held_ = reason; }
    void go_on() noexcept { held_.clear(); }
    /// Whether another tapdisk may be started.
    bool may_go_on() const noexcept { return held_.empty() && (limit_ == 0 || times_.size() < limit_); }

    // For the disk's record.

    /// In nanoseconds of the clock, which goes on until the host starts anew.
    std::vector<std::uint64_t> times() const;
    /// Why the disk is held; empty: it is not.
    const std::string& held() const noexcept { return held_; }
    void restore(const std::vector<std::uint64_t>& times, const std::string& held);

    /// Logs a death.
    void tell(const std::string& pid, const std::string& reason, bool another_goes_on) const;
    /// The cure of a disk that is held, for people.
    std::string cure() const { return "\"tap-ctl recover " + disk_ + "\" starts another one"; }
    /// `reason`: how the last one died: "killed by signal 9 (SIGKILL)".
    std::string problem(const std::string& reason) const;
    std::string no_successor() const { return "its tapdisk has died, and another one cannot go on; " + cure(); }

  private:
    const Clock& clock_;
    const std::string& disk_;
    const unsigned limit_;
    std::deque<Nanoseconds> times_;
    std::string held_;
};

}  // namespace blktap::tapback
