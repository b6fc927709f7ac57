// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Removal: a disk is taken away on request, and others have a say in it: for a disk of this domain whoever uses it
// here, and the guest, which is to close it. By force the guest is asked, and then not waited for.
//
// Tested by tests/unit/tapback/vbd/removal_test.cpp and tests/control.
#pragma once

#include <functional>
#include <vector>

#include "control/tapback/vbd/own_disk.hpp"
#include "control/tapback/xenbus/backend_directory.hpp"
#include "libblktap/base/event_loop.hpp"

namespace blktap::tapback {

class Removal {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    /// What a guest has to close its disk, as xl gives it; by force. A Linux frontend closes when it is told to, and
    /// then waits for no answer that does not come.
    static constexpr Nanoseconds patience = std::chrono::seconds(10);
    static constexpr Nanoseconds force_patience = std::chrono::seconds(1);

    struct Hooks {
        /// The disk is nobody's any more: its tapdisk is to end.
        std::function<void()> give_up;
        /// What is to be done may be something else now: look at the disk, and at all of its nodes.
        std::function<void()> changed;
        /// Whether the guest, and not our storage, is what a disk waits for that does not go.
        std::function<bool()> waits_for_guest;
    };

    /// `directory` and `own_disk` outlive this.
    Removal(EventLoop& loop, const ipc::VbdAddress& disk, const BackendDirectory& directory, OwnDisk& own_disk,
            Hooks hooks);
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;

    /// Gives the disk up; `done` when it has ended. `is_served`: nobody has asked its guest to close it. Then one that
    /// this domain uses stays: EBUSY. Errors: throws std::system_error; others are replies.
    void detach(bool is_served, Done done);
    /// Asks the guest to close the disk, and removes nothing: the nodes stay until everything is answered and given
    /// back, because a kernel whose device's nodes are gone waits for the answers before it does anything else. `done`
    /// when the disk has ended, or does not within `patience`. Without force a disk that this domain uses stays: EBUSY.
    /// Errors: as of detach().
    void unplug(bool force, Done done);

    bool is_by_force() const noexcept { return forced_; }
    /// By force, and the guest had its time.
    bool is_overdue() const noexcept { return overdue_; }
    /// The disk has ended. Returns what tells all who wait for that, to be called when its files are closed as well.
    std::function<void()> finish();

  private:
    void take_away(bool force);
    void takes_long();

    const ipc::VbdAddress disk_;
    const BackendDirectory& directory_;
    OwnDisk& own_disk_;
    const Hooks hooks_;
    bool forced_ = false;
    bool overdue_ = false;
    Done unplugged_;              ///< of whoever waits for unplug()
    std::vector<Done> detached_;  ///< and for detach()
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
