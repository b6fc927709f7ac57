// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/disk_actions.hpp"

#include <csignal>

#include "tests/soak/host/processes.hpp"
#include "tests/support/process.hpp"

namespace blktap::soak {
namespace {

constexpr std::uint64_t size_max_bytes = 64 * mib;

bool pause(DiskState& disk) {
    disk.requests.pause();
    disk.rest(400);
    disk.requests.resume();
    return true;
}

bool move(DiskState& disk, void (Chain::*how)()) {
    if (!disk.chain->may_move()) return false;
    disk.requests.pause();
    ((*disk.chain).*how)();
    disk.diary.note("resume " + disk.chain->top().path);
    disk.requests.resume(disk.chain->top());
    return true;
}

bool take_snapshot(DiskState& disk) {
    if (!disk.chain->may_move() || disk.chain->depth() > Chain::depth_max) return false;
    const std::size_t depth_before = disk.chain->depth();
    const std::string overlay = disk.chain->next_layer(disk.random.below(2) == 0);
    disk.diary.note("overlay " + overlay);
    disk.chain->now_has(disk.requests.snapshot(overlay));
    disk.diary.note("has " + disk.chain->top().path);
    return disk.chain->depth() > depth_before;
}

bool resize(DiskState& disk) {
    const std::uint64_t size_bytes = disk.sectors * sector_size_bytes + (1 + disk.random.below(4)) * mib;
    if (!disk.chain->may_move() || size_bytes > size_max_bytes) return false;
    disk.sectors = disk.requests.resize(size_bytes);
    disk.diary.note("has " + std::to_string(disk.sectors) + " sectors");
    disk.guest->orders().sectors = disk.sectors;
    return disk.sectors * sector_size_bytes >= size_bytes;  // else there was no room
}

bool look(DiskState& disk) {
    const std::string name = disk.name();
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"list"}, {"list", "--tapdisks"}, {"info", name}, {"stats", name}, {"status"}}) {
        const auto outcome = disk.ground.tap_ctl.run(words);
        const bool excused = outcome.says("tapback") || outcome.says("its tapdisk has") ||
                             outcome.says("its tapdisk is being looked for");
        if (outcome.status != 0 && !excused)
            throw Wrong("tap-ctl " + words.front() + ": status " + std::to_string(outcome.status) + ", " +
                        outcome.said);
    }
    const auto pid = disk.requests.entry().pid;
    if (pid) check_tapdisk(static_cast<pid_t>(*pid));
    return true;
}

/// As one whose processor or storage is away: it answers nobody.
bool freeze_tapdisk(DiskState& disk) {
    const auto pid = disk.requests.entry().pid;
    if (!pid) return false;
    testing::send_signal(static_cast<pid_t>(*pid), SIGSTOP);
    disk.rest(1'500);
    testing::send_signal(static_cast<pid_t>(*pid), SIGCONT);
    return true;
}

bool reconnect(DiskState& disk) {
    if (!disk.end_guest(disk.random.below(3) == 0)) have_served_again(disk, 0);
    disk.start_guest();
    return true;
}

}  // namespace

void have_served_again(DiskState& disk, std::uint32_t dead) {
    const std::uint64_t sectors = disk.requests.comes_back(dead);
    if (sectors != disk.sectors)
        throw Wrong("has " + std::to_string(sectors) + " sectors after its tapdisk was killed");
}

namespace {

/// Rings outlive a tapdisk: a guest sees a pause, a program comes back by itself, and both see nothing else.
bool kill_tapdisk(DiskState& disk) {
    const ipc::VbdEntry before = disk.requests.entry();
    if (!before.pid) return false;
    disk.diary.note("kill its tapdisk " + std::to_string(*before.pid));
    testing::send_signal(static_cast<pid_t>(*before.pid), SIGKILL);
    have_served_again(disk, *before.pid);
    return true;
}

/// The same, in order.
bool upgrade(DiskState& disk) {
    const ipc::VbdEntry before = disk.requests.entry();
    if (!before.pid) return false;
    disk.requests.upgrade();
    have_served_again(disk, *before.pid);
    return true;
}

/// The guest's writes fail, and its flushes wait, whichever tapdisk it has, until the operator accepts the loss.
bool fail_flushes(DiskState& disk) {
    if (disk.plan.place != Place::hanging || disk.plan.local) return false;
    testing::HangingFileSystem& storage = disk.ground.storage.hanging(disk.plan.hanging);
    disk.guest->orders().errors_due = true;
    wait_for("have a guest that expects errors", [&] { return disk.guest->expects_errors(); });
    storage.fail_syncs(true);
    wait_for("tell that a flush failed", [&] { return disk.requests.tells_failed_flush(); });
    storage.fail_syncs(false);
    if (disk.random.below(2) == 0) {
        kill_tapdisk(disk);
        wait_for("remember that a flush failed", [&] { return disk.requests.tells_failed_flush(); });
    }
    disk.diary.note("accept the loss");
    disk.requests.accept_loss();
    disk.guest->orders().errors_due = false;
    // Else the next time it would seem to expect them, with requests under way that may not fail.
    wait_for("have a guest that expects no errors", [&] { return disk.guest->expects_no_errors(); });
    return true;
}

}  // namespace

void kill_idle_tapdisk(DiskState& disk) {
    const ipc::VbdEntry before = disk.requests.entry();
    if (!before.pid) return;
    disk.diary.note("kill its idle tapdisk " + std::to_string(*before.pid));
    testing::send_signal(static_cast<pid_t>(*before.pid), SIGKILL);
    disk.ground.tally.did("kill-idle-tapdisk");
    have_served_again(disk, *before.pid);
}

bool act(DiskState& disk, Action action) {
    switch (action) {
        case Action::pause:
            return pause(disk);
        case Action::rename:
            return move(disk, &Chain::rename_top);
        case Action::replace_by_copy:
            return move(disk, &Chain::copy_top);
        case Action::snapshot:
            return take_snapshot(disk);
        case Action::resize:
            return resize(disk);
        case Action::look:
            return look(disk);
        case Action::reconnect:
            return reconnect(disk);
        case Action::freeze_tapdisk:
            return freeze_tapdisk(disk);
        case Action::fail_flushes:
            return fail_flushes(disk);
        case Action::upgrade:
            return upgrade(disk);
        case Action::kill_tapdisk:
            return !disk.plan.local && kill_tapdisk(disk);
        case Action::kill_local_tapdisk:
            return disk.plan.local && kill_tapdisk(disk);
        case Action::kill_idle_tapdisk:
        case Action::detach_in_use:
        case Action::destroy_domain:
        case Action::kill_any_tapdisk:
        case Action::kill_storm:
        case Action::kill_tapback:
            break;  // not of a disk in use
    }
    return false;
}

}  // namespace blktap::soak
