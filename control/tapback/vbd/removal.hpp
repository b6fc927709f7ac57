// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Removal: takes a disk away on request. A disk that this domain uses stays, and the guest is asked to close its disk.
// By force the use is ignored, and the guest is asked but not waited for.
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
    /// Time for a guest to close its disk, as much as xl gives it; the second: by force. A Linux frontend closes at
    /// once when it is asked to, without waiting for answers.
    static constexpr Nanoseconds patience = std::chrono::seconds(10);
    static constexpr Nanoseconds force_patience = std::chrono::seconds(1);

    struct Hooks {
        /// Called when the disk has no user any more: its tapdisk is to end.
        std::function<void()> give_up;
        /// Called when the next step may have changed: look at the disk, and at all of its nodes.
        std::function<void()> changed;
        /// Whether a disk that does not go waits for its guest, and not for the storage.
        std::function<bool()> waits_for_guest;
    };

    /// `directory` and `own_disk` outlive this.
    Removal(EventLoop& loop, const ipc::VbdAddress& disk, const BackendDirectory& directory, OwnDisk& own_disk,
            Hooks hooks);
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;

    /// Gives the disk up; calls `done` when it has ended. `is_served`: its guest was not asked to close it; then a disk
    /// that this domain uses stays: EBUSY. Errors: throws std::system_error; others are replies.
    void detach(bool is_served, Done done);
    /// Asks the guest to close the disk. The nodes stay until all requests are answered and the rings given back: a
    /// kernel whose device's nodes are gone does nothing else before it has the answers. `done` is called when the disk
    /// has ended, or `patience` is over. Without force a disk that this domain uses stays: EBUSY. Errors: as of
    /// detach().
    void unplug(bool force, Done done);

    bool is_by_force() const noexcept { return forced_; }
    /// Whether the disk is removed by force, and the guest had its time.
    bool is_overdue() const noexcept { return overdue_; }
    /// The disk has ended. Returns a function that answers all who wait for that: call it when the files are closed
    /// too.
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
    Done unplugged_;              ///< the caller that waits for unplug()
    std::vector<Done> detached_;  ///< the callers that wait for detach()
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
