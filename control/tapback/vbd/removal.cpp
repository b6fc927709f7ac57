// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/removal.hpp"

#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"
#include "control/tapback/xenbus/backend_nodes.hpp"

namespace blktap::tapback {

Removal::Removal(EventLoop& loop, const ipc::VbdAddress& disk, const BackendDirectory& directory, OwnDisk& own_disk,
                 Hooks hooks)
    : disk_(disk), directory_(directory), own_disk_(own_disk), hooks_(std::move(hooks)), timer_(loop, [this] {
          takes_long();
      }) {}

void Removal::detach(bool is_served, Done done) {
    const auto give_up = [this, done] {
        detached_.push_back(done);
        hooks_.give_up();
    };
    // xl's script comes when the guest has closed the disk. Any other call would take the disk from under the kernel.
    if (!is_served || !own_disk_.is_own()) return give_up();
    own_disk_.check_use(ipc::Detach::name, give_up, done);
}

void Removal::unplug(bool force, Done done) {
    if (unplugged_) throw_error(Errc::wrong_state, disk_.name() + ": being unplugged already");
    if (force || !own_disk_.is_own()) {
        take_away(force);
        unplugged_ = std::move(done);
        return;
    }
    const auto refused = [this](const ipc::Reply& reply) {
        if (unplugged_) std::exchange(unplugged_, nullptr)(reply);
    };
    own_disk_.check_use(
        ipc::Unplug::name, [this] { take_away(false); }, refused);
    unplugged_ = std::move(done);
}

void Removal::take_away(bool force) {
    directory_.transact([&](const StoreTransaction& nodes) {
        nodes.write(directory_.node("online"), "0");
        if (nodes.read(directory_.node("state")) != "6") write_state(nodes, directory_.path(), Xenbus::closing);
    });
    forced_ = force;
    overdue_ = false;
    timer_.arm(force ? force_patience : patience);
    hooks_.changed();
}

void Removal::takes_long() {
    if (forced_ && !std::exchange(overdue_, true)) {
        timer_.arm(patience);
        return hooks_.changed();
    }
    if (!unplugged_) return;
    const char* const reason = hooks_.waits_for_guest() ? "the guest does not let it go"
                                                        : "its storage does not answer; the disk goes when it does";
    std::exchange(unplugged_, nullptr)(error_reply(std::make_error_code(std::errc::timed_out), reason));
}

std::function<void()> Removal::finish() {
    timer_.disarm();
    return [unplugged = std::exchange(unplugged_, nullptr), detached = std::exchange(detached_, {})] {
        if (unplugged) unplugged({});
        for (const Done& done : detached)
            done({});
    };
}

}  // namespace blktap::tapback
