// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskStatus: what people are told of a disk: how it stands, and what is wrong with it. Administrators read it in the
// disk's directory in xenstore, xl prints the reason for which a disk could not be attached, and tap-ctl lists it.
//
// Tested by tests/unit/tapback/disk_status_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/backend_directory.hpp"
#include "control/tapback/disk_problems.hpp"
#include "control/tapback/disk_session.hpp"
#include "control/tapback/xenbus_machine.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// What the name of a disk's state depends on, beside its situation.
struct Serving {
    Session session = Session::none;
    bool is_cut_off = false;  ///< its tapdisk runs, without a connection to us
    bool has_image = false;
    bool is_paced = false;  ///< the guest waits because it came too often
};
/// The name of the disk's state, for people: "connected", "waiting for the image", ...
std::string describe(const Situation& now, const Serving& serving);

class DiskStatus {
  public:
    struct Places {
        EventLoop& loop;
        ProblemHook& problem_hook;
        const StoreSession& store;
    };

    /// `changed`: there is something new to be told. All of `places`, `directory` and `session` outlive this.
    DiskStatus(Places places, const ipc::VbdAddress& disk, BackendDirectory& directory, const DiskSession& session,
               std::function<void()> changed);
    DiskStatus(const DiskStatus&) = delete;
    DiskStatus& operator=(const DiskStatus&) = delete;

    // What there is to tell.

    /// Why the disk does not serve; empty: that is over. False: this is no news. Of an image that was to be opened xl
    /// prints it, too.
    bool set_problem(const std::string& problem);
    /// What xl was to print is over.
    void image_opened();
    /// What the tapdisk says is wrong with its storage; until tapdisk_ended().
    void see(const ipc::Problems& problems) { problems_.see(problems); }
    void tapdisk_ended() { problems_.forget_storage(); }
    /// Whether the guest has to wait because it came too often.
    void set_paced(bool is_paced);

    // Where it is told. Errors, of all that write: throw std::system_error (xenstored's).

    /// Writes it into a transaction. After that was committed, was_put() with what this returns.
    std::string put(const StoreNodes& nodes, const Situation& now) const;
    void was_put(const std::string& text);
    /// Writes it into a directory that is the disk's.
    void write(const Situation& now);
    /// Writes what is new of problems, and nothing else: a disk goes through many states within milliseconds, and each
    /// that is written down makes it wait for xenstored. False: write() is to follow, unless it changes again soon.
    bool write_problems(const Situation& now);
    /// An entry of "list"; `whole`: of "info".
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
