// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSituation: where a disk stands (xenbus_machine.hpp), kept as its nodes and its parts have it, and the states that
// it enters.
//
// Nodes are read one by one, and only those that may have changed: that is cheap, and enough to see that nothing is to
// be done, because whatever changes after it was read has an event on its way. What is seen like this may never have
// been true together. So each step is confirmed: all nodes are read again in one transaction, which also writes what
// the step writes.
//
// Tested by tests/unit/tapback/disk_situation_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/backend_directory.hpp"
#include "control/tapback/disk_session.hpp"
#include "control/tapback/disk_status.hpp"
#include "control/tapback/frontend_link.hpp"
#include "control/tapback/xenbus_machine.hpp"

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

    /// `life_known`: the directory of a disk that has an image has been given its mark. All of `parts` outlives this.
    DiskSituation(Parts parts, const ipc::VbdAddress& disk, std::function<void()> life_known);
    DiskSituation(const DiskSituation&) = delete;
    DiskSituation& operator=(const DiskSituation&) = delete;

    const Situation& now() const noexcept { return now_; }

    // What others know.

    /// A node of the disk's directory has changed: "state", "online", another one, or "" for the directory itself.
    void node_changed(const std::string& below) noexcept;
    void frontend_changed() noexcept { stale_.frontend = true; }
    /// Nothing that was read before counts.
    void all_changed() noexcept { stale_ = {}; }
    /// Takes over what the session and the link say of themselves.
    void gather();
    /// The disk was given up: its nodes are nobody's.
    void release() noexcept;
    bool is_released() const noexcept { return released_; }
    /// The same, and nobody waits for answers.
    void domain_died();
    bool is_domain_dead() const noexcept { return domain_dead_; }
    void set_offered() noexcept { now_.offered = true; }
    void set_forced(bool forced) noexcept { now_.forced = forced; }
    void set_kernel_waits(bool waits) noexcept { now_.kernel_waits = waits; }

    // What the nodes say. Errors, of all from here on: throw std::system_error (xenstored's); look again.

    /// Reads what may have changed.
    void observe();
    /// Looks whether the disk's directory is there.
    bool has_directory();
    /// Whether the nodes, together, ask for this step. False: all is to be observed again.
    bool confirmed(Step step);
    /// The same in a transaction of the caller's, which is to do the step: then now() is what the nodes say there. If
    /// the transaction does not commit, all is to be observed again.
    bool confirm(Step step, const StoreTransaction& nodes);

    // What is written there.

    /// Confirms the step and enters a state, in one transaction with what goes before and with what people are told:
    /// what others wrote meanwhile stands, and what vanished is not made anew. False: nothing was written, and all is
    /// to be observed again.
    bool enter(
        Step step, Xenbus state, const Work& write_first = [](const auto&) {});
    /// Tells the frontend to close, if nobody has: what it sends until it knows is answered.
    void tell_to_close();
    /// Takes leave of a directory that stays: whoever waits there for the end of the disk finds it closed.
    void leave();

    /// What becomes of requests that are in the rings when these are taken away; `by_force`: on an operator's word.
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
    /// What of `now_` is to be read again.
    struct Stale {
        bool directory = true;  ///< that it is there, whose it is, and where its frontend is
        bool backend = true;    ///< its state, and "online"
        bool frontend = true;
    };
    Stale stale_;
    bool released_ = false;  ///< somebody gave it up, or its domain died
    bool domain_dead_ = false;
};

}  // namespace blktap::tapback
