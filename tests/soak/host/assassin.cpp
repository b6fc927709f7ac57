// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/host/assassin.hpp"

#include <csignal>

#include "tests/support/process.hpp"

namespace blktap::soak {

using namespace std::chrono_literals;

void Assassin::turn(Nanoseconds now) {
    if (!ground_.actions.has(Action::kill_any_tapdisk) || now < kill_at_) return;
    const bool first = kill_at_ == Nanoseconds{0};
    if (now >= storm_until_ && random_.below(12) == 0 && ground_.actions.has(Action::kill_storm)) {
        storm_until_ = now + 2s;
        ground_.tally.did("kill-storm");
    }
    kill_at_ = now + (now < storm_until_ ? random_.below(40) * 1ms : 50ms + random_.below(1'500) * 1ms);
    const std::vector<pid_t> tapdisks = ground_.host.tapdisks();
    if (first || tapdisks.empty()) return;
    testing::send_signal(tapdisks[random_.below(tapdisks.size())], SIGKILL);
    ground_.tally.did("kill-any-tapdisk");
}

}  // namespace blktap::soak
