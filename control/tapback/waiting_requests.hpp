// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WaitingRequests: requests for a new disk in whose place an earlier disk has not ended yet. They go on when that has
// ended, or fail while the client still waits: a hotplug script has 40 seconds.
//
// Tested by tests/unit/tapback/waiting_requests_test.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libblktap/base/event_loop.hpp"

namespace blktap::tapback {

class WaitingRequests {
  public:
    /// Less than block-tapdisk's time for a whole "add".
    static constexpr Nanoseconds patience = std::chrono::seconds(30);
    /// Must not throw.
    using Call = std::function<void()>;

    /// `loop` outlives this.
    explicit WaitingRequests(EventLoop& loop) : loop_(loop), timer_(loop, [this] { expire(); }) {}

    /// Calls `go_on` when the disk of this name has ended, or `give_up` after `patience`.
    void add(const std::string& name, Call go_on, Call give_up);
    /// Lets the requests for this name go on: its disk has ended.
    void release(const std::string& name);

  private:
    struct Waiting {
        std::string name;
        Nanoseconds deadline;
        Call go_on;
        Call give_up;
    };
    void expire();

    EventLoop& loop_;
    std::vector<Waiting> waiting_;  ///< the longest-waiting first
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
