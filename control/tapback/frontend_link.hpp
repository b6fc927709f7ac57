// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FrontendLink: a disk's frontend: its state and keys in xenstore, which a guest writes as it likes, and its rings,
// which are given to the disk's tapdisk and taken back. When a tapdisk died with requests unanswered, another process
// answers them from the recovery log.
//
// Tested by tests/unit/tapback/frontend_link_test.cpp and tests/control.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/tapback/backend_directory.hpp"
#include "control/tapback/disk_session.hpp"
#include "control/tapback/xenbus_machine.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

class FrontendLink {
  public:
    using State = Situation::Link;
    /// Whether the nodes ask for the rings to be connected.
    using Asked = std::function<bool(const StoreTransaction&)>;

    struct Hooks {
        /// Something is different: look at the disk, now or some seconds later.
        std::function<void()> changed;
        std::function<void()> changed_later;
        /// Writes the disk's record, in which the rings are. Errors: none.
        std::function<void()> write_record;
        /// Why the frontend is not served; empty: it is.
        std::function<void(const std::string& problem)> problem;
    };
    struct Places {
        const StoreSession& store;
        TapdiskSource& tapdisks;
        std::string recovery_log;  ///< the file's path
    };

    /// All of `places`, `directory` and `session` outlive this.
    FrontendLink(Places places, const ipc::VbdAddress& disk, const BackendDirectory& directory, DiskSession& session,
                 Hooks hooks);
    FrontendLink(const FrontendLink&) = delete;
    FrontendLink& operator=(const FrontendLink&) = delete;
    ~FrontendLink();

    // Its nodes. Errors, of all: throw std::system_error (xenstored's).

    /// Watches the frontend of this directory. False: it is not of the disk's domain, and is not looked at.
    bool follow(const std::string& path);
    void unfollow();
    /// The watch went with xenstored.
    void forget_watch() noexcept { watched_.clear(); }
    Xenbus read_state(const StoreNodes& nodes) const;
    /// Its state is this: one that begins, or has gone, begins anew with us too.
    void see(Xenbus frontend) noexcept;
    /// Compares its keys, in such a state, with those that are connected.
    void look_for_new_rings(Xenbus frontend) { renewed_ = has_new_rings(frontend); }

    // The rings. They are busy while a request about them is on its way.

    State state() const noexcept { return state_; }
    const std::optional<ipc::ConnectArguments>& rings() const noexcept { return rings_; }
    /// As an earlier tapback wrote them down: whether the tapdisk has them comes by found().
    void restore(const std::optional<ipc::ConnectArguments>& rings);
    /// The rings may be connected or not, until found().
    void suspect() noexcept { state_ = State::busy; }
    void found(bool connected);
    /// The tapdisk has ended. `domain_died`: nobody waits for answers.
    void tapdisk_ended(DiskSession::End how, bool domain_died);
    /// Gives the frontend's rings to the tapdisk, if `asked` says so. False: it does not. Errors: also those of a
    /// frontend whose keys make no sense; then it is refused until it begins anew.
    bool connect(const Asked& asked);
    /// The offers, and then the features, of the disk are written.
    void offered() noexcept { refused_ = false; }
    void published() noexcept { published_ = true; }
    void disconnect(ipc::RingsLeft rings);
    /// Has another process answer what a tapdisk that died has left. Errors: throws std::system_error: xenstored is
    /// away; try again.
    void abandon();
    void forget_abandoned() noexcept { abandoned_ = false; }
    /// Destroys what has ended. Not from inside a hook.
    void tidy();

    /// No guest was connected when the last tapdisk ended.
    bool ended_idle() const noexcept { return ended_idle_; }
    bool has_recovery_log() const;
    void remove_recovery_log();
    /// Writes its part of where the disk stands. `is_unsure`: the tapdisk cannot be asked now.
    void put_into(Situation& now, bool is_unsure) const noexcept;

  private:
    ipc::ConnectArguments keys(const StoreNodes& nodes) const;
    std::optional<ipc::ConnectArguments> keys_if(const Asked& asked) const;
    ipc::ConnectArguments abandoned_keys() const;
    bool has_new_rings(Xenbus frontend) const;
    void connected(const ipc::Reply& reply);
    void ask();
    void disconnected();
    void set(State state);

    const Places places_;
    const ipc::VbdAddress disk_;
    const BackendDirectory& directory_;
    DiskSession& session_;
    const Hooks hooks_;
    std::string path_;
    std::string watched_;
    State state_ = State::none;
    std::optional<ipc::ConnectArguments> rings_;  ///< as its tapdisk has them, or had
    bool abandoned_ = false;
    bool renewed_ = false;
    bool published_ = true;
    bool refused_ = false;
    bool ended_idle_ = false;
    UniqueFd recovery_log_;
    std::unique_ptr<TapdiskHandle> answerer_;  ///< answers what a tapdisk that died has left, while the rings are busy
};

/// Forgets, of where a disk stands, what a frontend in this state has left behind.
void forget_left_behind(Situation& now) noexcept;

}  // namespace blktap::tapback
