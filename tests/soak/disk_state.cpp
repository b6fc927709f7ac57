// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/disk_state.hpp"

namespace blktap::soak {

using namespace std::chrono_literals;

DiskState::DiskState(Ground& ground_of_all, DiskPlan its_plan)
    : ground(ground_of_all), plan(its_plan), random(plan.seed), requests(ground, plan.vbd, diary) {}

std::string DiskState::name() const {
    return std::to_string(plan.vbd.domain) + "/" + std::to_string(plan.vbd.device);
}

void DiskState::rest(unsigned milliseconds_max) {
    const MonotonicClock clock;
    const Nanoseconds until = clock.now() + random.below(milliseconds_max) * 1ms;
    while (!ground.over && clock.now() < until)
        std::this_thread::sleep_for(2ms);
}

void DiskState::start_guest() {
    GuestPlan wanted;
    wanted.domain = plan.vbd.domain;
    wanted.frontend = control_test::Toolstack::frontend({.domain = plan.vbd.domain, .device = plan.vbd.device});
    if (plan.local)
        wanted.tapdisk = ground.host.run_directory() + "/" + std::to_string(plan.vbd.domain) + "-" +
                         std::to_string(plan.vbd.device) + ".sock";
    wanted.seed = random.next();
    wanted.sectors = sectors;
    diary.note("guest");
    guest.emplace(wanted, *model, ground.tally);
    wait_for("serve its guest", [&] { return guest->is_served() || guest->state() != Guest::End::running; });
}

bool DiskState::end_guest(bool read_back) {
    diary.note(read_back ? "guest reads all and leaves" : "guest leaves");
    guest->orders().read_back = read_back;
    guest->orders().leave = true;
    const Guest::End end = guest_ended();
    if (end == Guest::End::left) return true;
    if (end != Guest::End::lost || !may_lose_guest()) throw Wrong("its guest was asked for the disk, or lost it");
    return false;
}

bool DiskState::may_lose_guest() const {
    const bool was_late = ground.host.logged("ring.not_back") > 0;
    return plan.local && (was_late || ground.actions.has(Action::kill_any_tapdisk));
}

Guest::End DiskState::guest_ended() {
    const Guest::End end = guest->wait();
    if (end == Guest::End::failed) throw Wrong("its guest: " + guest->failure());
    guest.reset();
    if (sectors > model->range().count) model->grow(sectors);
    return end;
}

}  // namespace blktap::soak
