// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSituation: the state of a disk (xenbus_machine.hpp), as read from its nodes and its parts, and the xenbus states
// that it enters.
//
// Nodes are read one by one, and only those that may have changed. That is cheap, and enough to decide that nothing is
// to be done, because a change after the read has an event on its way. Values read like this may never have been true
// at the same time. So each step is confirmed: all nodes are read again in one transaction, which also does the step's
// writes.
//
// Tested by tests/unit/tapback/vbd/disk_situation_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/vbd/disk_status.hpp"
#include "control/tapback/xenbus/backend_directory.hpp"
#include "control/tapback/xenbus/frontend_link.hpp"
#include "control/tapback/xenbus/xenbus_machine.hpp"

namespace blktap::tapback {

class DiskSituation {
  public:
    using Work = std::function<void(const StoreTransaction&)>;
    struct Parts {
        const StoreSession& store;
        BackendDirectory& directory;
        FrontendLink& link;
        const DiskSession& session;
        DiskStatus& status;
    };

    /// `life_known` is called when the directory of a disk with an image got its mark. All of `parts` outlives this.
    DiskSituation(Parts parts, const ipc::VbdAddress& disk, std::function<void()> life_known);
    DiskSituation(const DiskSituation&) = delete;
    DiskSituation& operator=(const DiskSituation&) = delete;

    const Situation& now() const noexcept { return now_; }

    // Facts from others.

    /// A node of the disk's directory has changed: "state", "online", another one, or "" for the directory itself.
    void node_changed(const std::string& below) noexcept;
    void frontend_changed() noexcept { stale_.frontend = true; }
    /// All nodes must be read again.
    void all_changed() noexcept { stale_ = {}; }
    /// Copies the states of the session and the link.
    void gather();
    /// The disk was given up: its nodes belong to no disk.
    void release() noexcept;
    bool is_released() const noexcept { return released_; }
    /// The domain died: the disk is given up, and no frontend waits for answers.
    void domain_died();
    bool is_domain_dead() const noexcept { return domain_dead_; }
    void set_offered() noexcept { now_.offered = true; }
    void set_forced(bool forced) noexcept { now_.forced = forced; }
    void set_kernel_waits(bool waits) noexcept { now_.kernel_waits = waits; }

    // Reading nodes. Errors, of all from here on: throw std::system_error (xenstored's); look again.

    /// Reads the nodes that may have changed.
    void observe();
    /// Returns whether the disk's directory exists.
    bool has_directory();
    /// Whether all nodes together call for this step. If not, all must be observed again.
    bool confirmed(Step step);
    /// The same in the caller's transaction, which does the step: now() then has the values of that transaction. If the
    /// transaction does not commit, all must be observed again.
    bool confirm(Step step, const StoreTransaction& nodes);

    // Writing nodes.

    /// Confirms the step and enters a state, in one transaction with `write_first` and the status for people: later
    /// writes of others are not overwritten, and removed nodes are not made again. Returns false if nothing was
    /// written; then all must be observed again.
    bool enter(
        Step step, Xenbus state, const Work& write_first = [](const auto&) {});
    /// Tells the frontend to close, unless it was told: requests that it sends until it notices are answered.
    void tell_to_close();
    /// Leaves a directory that stays, in state Closed, for a toolstack that waits there for the end of the disk.
    void leave();

    /// Returns the fate of requests in the rings when these are disconnected; `by_force`: an operator demanded it.
    ipc::RingsLeft rings_left(bool by_force) const noexcept;

  private:
    bool observe_directory();
    void read_backend(const StoreNodes& nodes, Situation& now) const;
    bool names_our_tap(const StoreNodes& nodes) const;
    void tell_replaced();
    std::string node(const char* name) const { return parts_.directory.node(name); }

    const Parts parts_;
    const bool needs_claim_;
    const std::function<void()> life_known_;
    Situation now_;
    /// The parts of `now_` that must be read again.
    struct Stale {
        bool directory = true;  ///< whether it exists, its owner, and its frontend
        bool backend = true;    ///< its state, and "online"
        bool frontend = true;
    };
    Stale stale_;
    bool released_ = false;  ///< the disk was given up, or its domain died
    bool domain_dead_ = false;
};

}  // namespace blktap::tapback
