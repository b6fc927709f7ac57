// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BackendDirectory: one life of a disk's backend directory in xenstore, and the only writer of what a disk writes
// there.
//
// A toolstack may remove a directory and make another of the same path, for another disk, between two of our looks. So
// a disk knows its directory by a random mark in it (`tapdisk/life`), which is in the disk's record as well. A
// directory without that mark, or with another, is not this disk's: from then on this disk reads and writes nothing
// there. Every write is in a transaction that reads the mark first. See docs/decisions/0023.
//
// Tested by tests/unit/tapback/backend_directory_test.cpp and tests/control/life_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "control/tapback/store_session.hpp"

namespace blktap::tapback {

class BackendDirectory {
  public:
    using Work = std::function<void(const StoreTransaction&)>;
    /// Whether the directory may be taken for the disk's although it has no mark that the disk knows.
    using Check = std::function<bool(const StoreNodes&)>;

    /// `life`: the directory's mark; empty: not known yet. `session` outlives this.
    BackendDirectory(const StoreSession& session, const ipc::VbdAddress& address, std::string life);

    enum class Seen {
        unknown,  ///< xenstored began anew, and the directory was not seen again
        there,
        gone,  ///< for good, whatever is at its path from now on
    };
    /// Looks for the directory. Where its mark is not known yet, the directory that is there is marked, unless it has a
    /// mark already, and taken, if `may_take` says so. Errors, of this and of all that write: throws std::system_error
    /// (xenstored's).
    Seen look(const Check& may_take);
    bool is_gone() const noexcept { return gone_; }
    /// It is gone, and the last look() found another one at its path.
    bool is_replaced() const noexcept { return replaced_; }
    /// Its mark; empty: not known yet.
    const std::string& life() const noexcept { return life_; }
    /// Path of the frontend's directory, as the last look() found it, also where that said `unknown`.
    const std::string& frontend() const noexcept { return frontend_; }

    /// Whether `nodes` have the directory, with its mark and our claim.
    bool is_in(const StoreNodes& nodes) const;
    /// Runs `work` in a transaction in which is_in() holds. False: it does not, and nothing was written.
    bool transact(const Work& work) const;
    /// The value of one of its nodes, at this moment and of whichever directory is there.
    std::optional<std::string> read(const char* name) const;
    std::string node(const char* name) const { return path_ + '/' + name; }
    const std::string& path() const noexcept { return path_; }

    // What people are told. A text that is there already is not written again.

    void write_status(const std::string& text);
    /// For a transaction of somebody else's; after it was committed, status_is(text).
    void put_status(const StoreNodes& nodes, const std::string& text) const;
    void status_is(const std::string& text) { status_ = text; }
    const std::string& status() const noexcept { return status_; }
    /// What xl prints when a disk is not attached.
    void write_hotplug_error(const std::string& text);
    void remove_hotplug_error();

    /// What is missing from now on, until look() has seen the directory again, is not known.
    void store_lost() noexcept;
    void store_found() noexcept { began_anew_ = false; }
    bool is_store_lost() const noexcept { return began_anew_ && !gone_; }

  private:
    bool is_claimed(const StoreNodes& nodes) const;
    bool take(const Check& may_take);
    Seen leave(bool replaced) noexcept;

    const StoreSession& session_;
    const std::string path_;
    const bool needs_claim_;
    std::string life_;
    std::string frontend_;
    std::string status_;  ///< as the node holds it
    bool gone_ = false;
    bool replaced_ = false;
    bool began_anew_ = false;
    bool hotplug_error_written_ = false;
};

}  // namespace blktap::tapback
