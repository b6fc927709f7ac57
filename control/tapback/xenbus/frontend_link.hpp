// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FrontendLink: a disk's frontend: its state and keys in xenstore, which a guest may write as it likes, and its rings,
// which the disk's tapdisk connects and disconnects. When a tapdisk died with unanswered requests, its successor adopts
// the rings as they were connected, whatever the guest's keys say by then; or, for a disk that goes, another process
// answers the requests from the recovery log.
//
// Tested by tests/unit/tapback/xenbus/frontend_link_test.cpp and tests/control.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/xenbus/backend_directory.hpp"
#include "control/tapback/xenbus/xenbus_machine.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

class FrontendLink {
  public:
    using State = Situation::Link;
    /// Whether the nodes ask for the rings to be connected.
    using Asked = std::function<bool(const StoreTransaction&)>;

    struct Hooks {
        /// The link's state changed: look at the disk, now or some seconds later.
        std::function<void()> changed;
        std::function<void()> changed_later;
        /// Writes the disk's record, which includes the rings. May throw std::system_error.
        std::function<void()> write_record;
        /// The same; a failure is logged, and tried again later.
        std::function<void()> try_to_record;
        /// Sets the reason why the frontend is not served; empty: it is served.
        std::function<void(const std::string& problem)> problem;
        /// Calls `then` when no I/O of the dead tapdisk is under way.
        std::function<void(const std::function<void()>& then)> when_io_is_over;
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

    /// Watches the frontend in this directory. Returns false, and ignores it, if it is not of the disk's domain.
    bool follow(const std::string& path);
    void unfollow();
    /// The watch ended with xenstored.
    void forget_watch() noexcept { watched_.clear(); }
    Xenbus read_state(const StoreNodes& nodes) const;
    /// Takes the frontend's state: one that starts, or has gone, gets a clean state here too.
    void see(Xenbus frontend) noexcept;
    /// Compares its keys, in this state, with the connected ones.
    void look_for_new_rings(Xenbus frontend) { renewed_ = state_ == State::up && has_new_rings(frontend); }

    // The rings. They are busy while a request about them is under way.

    State state() const noexcept { return state_; }
    const std::optional<ipc::ConnectArguments>& rings() const noexcept { return rings_; }
    /// Restores the rings of an earlier tapback's record; found() tells whether the tapdisk has them.
    void restore(const std::optional<ipc::ConnectArguments>& rings);
    /// Until found(), it is unknown whether the rings are connected.
    void suspect() noexcept { state_ = State::busy; }
    void found(bool connected);
    /// Has the next tapdisk adopt the rings of the one that died; `done` gets the answer. Returns false if there are
    /// none, or none that count: the frontend has begun anew.
    bool adopt(const DiskSession::Done& done);
    /// Whether the tapdisk has rings that only its version before this one recorded: which ones is not known.
    bool has_unknown_rings() const noexcept { return state_ == State::up && !rings_; }
    /// Whether a tapdisk could adopt the rings: those of an earlier version's keep less in their log than is needed.
    bool can_be_adopted() const;
    /// Of the recovery log of the rings; of a new one if there are none.
    unsigned log_version() const;
    /// The tapdisk has ended. `domain_died`: no frontend waits for answers.
    void tapdisk_ended(DiskSession::End how, bool domain_died);
    /// Has the tapdisk connect the frontend's rings, if `asked` is true; returns whether it is. Rings that cannot be
    /// recorded, or have no space for their log, are not connected: a tapdisk that dies would have no successor.
    /// Errors: also those of a frontend with invalid keys, which is then refused until it starts again.
    bool connect(const Asked& asked);
    /// Call when the offers of the disk were written.
    void offered() noexcept { refused_ = false; }
    void published() noexcept { published_ = true; }
    /// The device has changed since it was published.
    void publish_again() noexcept { published_ = false; }
    void disconnect(ipc::RingsLeft rings);
    /// Has another process answer the requests that a dead tapdisk has left, when its I/O is over: a read that is still
    /// under way could fill a page that the guest, which has its answer, uses for something else. Until then the rings
    /// are busy; then call it again. Errors: throws std::system_error: xenstored is away; try again.
    void abandon();
    void forget_abandoned() noexcept { abandoned_ = false; }
    /// Destroys the handle of a process that has ended, and tries again what could not be recorded. Not from inside a
    /// hook.
    void tidy();

    /// Whether no guest was connected when the last tapdisk ended.
    bool ended_idle() const noexcept { return ended_idle_; }
    bool has_recovery_log() const;
    void remove_recovery_log();
    /// Writes the link's part of the disk's situation. `is_unsure`: the tapdisk does not answer now.
    void put_into(Situation& now, bool is_unsure) const noexcept;

  private:
    ipc::ConnectArguments keys(const StoreNodes& nodes) const;
    std::optional<ipc::ConnectArguments> keys_if(const Asked& asked) const;
    ipc::ConnectArguments abandoned_keys() const;
    bool has_new_rings(Xenbus frontend) const;
    bool has_begun_anew() const;
    void adopted(const ipc::Reply& reply, const DiskSession::Done& done);
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
    std::optional<ipc::ConnectArguments> rings_;  ///< the rings that the tapdisk has, or had last
    bool abandoned_ = false;
    bool renewed_ = false;
    bool published_ = true;
    bool refused_ = false;
    bool waits_ = false;  ///< for the host: its rings are connected when that can be
    bool ended_idle_ = false;
    bool io_is_over_ = false;  ///< of the tapdisk that died
    UniqueFd recovery_log_;
    std::unique_ptr<TapdiskHandle> answerer_;  ///< answers a dead tapdisk's requests, while the rings are busy
};

/// Removes leftovers of an earlier frontend from a disk's situation, if the frontend's state allows it.
void forget_left_behind(Situation& now) noexcept;

}  // namespace blktap::tapback
