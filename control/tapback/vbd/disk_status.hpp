// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskStatus: a disk's state and problems, in words for people. Administrators read them in the disk's directory in
// xenstore, xl prints the reason why a disk could not be attached, and tap-ctl lists them.
//
// Tested by tests/unit/tapback/vbd/disk_status_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/vbd/disk_problems.hpp"
#include "control/tapback/xenbus/backend_directory.hpp"
#include "control/tapback/xenbus/xenbus_machine.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// Facts that determine the name of a disk's state, besides its situation.
struct Serving {
    Session session = Session::none;
    bool is_cut_off = false;  ///< its tapdisk runs without a connection to tapback
    bool has_image = false;
    bool is_paced = false;  ///< the guest waits because it reconnected too often
};
/// Returns the name of the disk's state, for people: "connected", "waiting for the image", ...
std::string describe(const Situation& now, const Serving& serving);

class DiskStatus {
  public:
    struct Places {
        EventLoop& loop;
        ProblemHook& problem_hook;
        const StoreSession& store;
    };

    /// `changed` is called when a text changes. All of `places`, `directory` and `session` outlive this.
    DiskStatus(Places places, const ipc::VbdAddress& disk, BackendDirectory& directory, const DiskSession& session,
               std::function<void()> changed);
    DiskStatus(const DiskStatus&) = delete;
    DiskStatus& operator=(const DiskStatus&) = delete;

    // The texts.

    /// Sets the reason why the disk is not served; empty: it is served. Returns false if the reason is unchanged. While
    /// an image is being opened the reason is also written for xl.
    bool set_problem(const std::string& problem);
    /// Removes the error for xl.
    void image_opened();
    /// Takes the problems of its storage that the tapdisk reports; until tapdisk_ended().
    void see(const ipc::Problems& problems) { problems_.see(problems); }
    /// `is_held`: no other one goes on.
    void tapdisk_ended(bool is_held) {
        problems_.forget_storage();
        problems_.set_held(is_held);
    }
    void disk_ended() { problems_.set_held(false); }
    /// Sets whether the guest must wait because it reconnected too often.
    void set_paced(bool is_paced);

    // Where they are written. Errors, of all that write: throw std::system_error (xenstored's).

    /// Writes the status in a transaction and returns it; call was_put() with it after the commit.
    std::string put(const StoreNodes& nodes, const Situation& now) const;
    void was_put(const std::string& text);
    /// Writes the status if the directory is the disk's.
    void write(const Situation& now);
    /// Writes only changes of problems: a disk goes through many states within milliseconds, and each write makes it
    /// wait for xenstored. Returns false if write() must follow, unless the state changes again soon.
    bool write_problems(const Situation& now);
    /// Returns an entry of "list"; `whole`: of "info".
    ipc::VbdEntry entry(const Situation& now, bool whole) const;

  private:
    std::string name_of(const Situation& now) const;
    std::string text(const Situation& now) const;
    bool came_by_takeover() const;

    const StoreSession& store_;
    const ipc::VbdAddress disk_;
    BackendDirectory& directory_;
    const DiskSession& session_;
    DiskProblems problems_;
    bool paced_ = false;
};

}  // namespace blktap::tapback
