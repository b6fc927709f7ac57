// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/host/supervisor.hpp"

#include <csignal>
#include <thread>

#include "tests/soak/host/processes.hpp"
#include "tests/support/process.hpp"

namespace blktap::soak {
namespace {

using namespace std::chrono_literals;

}  // namespace

Supervisor::Supervisor(control_test::ControlHost& host, Ground& ground, unsigned disks, std::uint64_t seed)
    : host_(host), ground_(ground), disks_(disks), random_(seed) {
    draw(MonotonicClock{}.now());
}

/// Some lives are long: what grows without bound needs time to. The first one is not, or a short soak would kill
/// nothing.
void Supervisor::draw(Nanoseconds now) {
    const bool is_long = lives_++ > 5 && random_.below(8) == 0;
    kill_at_ = now + (is_long ? 30s + random_.below(60) * 1s : 100ms + random_.below(6'000) * 1ms);
}

void Supervisor::turn(Nanoseconds now) {
    if (now >= watch_at_) {
        watch_at_ = now + 2s;
        watch();
    }
    if (now < kill_at_ || !ground_.actions.has(Action::kill_tapback)) return;
    replace();
    draw(MonotonicClock{}.now());
}

void Supervisor::replace() {
    if (random_.below(5) == 0) return freeze();
    if (random_.below(4) == 0) {
        if (const int status = host_.stop_tapback(); status != 0)
            throw Wrong("tapback ended with " + std::to_string(status));
        ground_.tally.did("tapback ended in order");
    } else {
        host_.kill_tapback();
        ground_.tally.did("kill-tapback");
    }
    std::this_thread::sleep_for(random_.below(3) * random_.below(400) * 1ms);
    host_.start_tapback();
}

/// Disks are served by their tapdisks meanwhile.
void Supervisor::freeze() {
    testing::send_signal(host_.tapback_pid(), SIGSTOP);
    std::this_thread::sleep_for(random_.below(1'500) * 1ms);
    testing::send_signal(host_.tapback_pid(), SIGCONT);
    ground_.tally.did("tapback frozen");
}

void Supervisor::watch() {
    if (!host_.tapback_runs()) throw Wrong("tapback has ended by itself");
    check_tapback(host_.tapback_pid(), disks_);
}

}  // namespace blktap::soak
