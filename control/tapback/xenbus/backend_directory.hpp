// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BackendDirectory: one life of a disk's backend directory in xenstore, and the only writer of the disk's nodes there.
//
// A toolstack may remove a directory and make another at the same path, for another disk, between two looks. So a disk
// identifies its directory by a random mark (`tapdisk/life`), which is in the disk's record as well. A directory
// without that mark, or with another, belongs to another disk: from then on this disk reads and writes nothing there.
// Every write is in a transaction that reads the mark first. See docs/decisions/0023.
//
// Tested by tests/unit/tapback/xenbus/backend_directory_test.cpp and tests/control/life_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "control/tapback/xenbus/store_session.hpp"

namespace blktap::tapback {

class BackendDirectory {
  public:
    using Work = std::function<void(const StoreTransaction&)>;
    /// Whether the directory may be accepted as the disk's although it has no mark that the disk knows.
    using Check = std::function<bool(const StoreNodes&)>;

    /// `life`: the directory's mark; empty: not known yet. `session` outlives this.
    BackendDirectory(const StoreSession& session, const ipc::VbdAddress& address, std::string life);

    enum class Seen {
        unknown,  ///< xenstored lost its nodes, and the directory was not seen again
        there,
        gone,  ///< for good, whatever is at its path from now on
    };
    /// Looks for the directory. If its mark is not known yet, accepts the directory at the path if `may_take` allows
    /// it, and marks it unless it is marked. Errors, of this and of all functions that write: throws std::system_error
    /// (xenstored's).
    Seen look(const Check& may_take);
    bool is_gone() const noexcept { return gone_; }
    /// Whether the directory is gone and the last look() found another one at its path.
    bool is_replaced() const noexcept { return replaced_; }
    /// The directory's mark; empty: not known yet.
    const std::string& life() const noexcept { return life_; }
    /// Path of the frontend's directory, as the last look() found it, also if that returned `unknown`.
    const std::string& frontend() const noexcept { return frontend_; }

    /// Whether `nodes` have the directory, with its mark and our claim.
    bool is_in(const StoreNodes& nodes) const;
    /// Runs `work` in a transaction in which is_in() holds. Returns false, and writes nothing, if it does not hold.
    bool transact(const Work& work) const;
    /// Returns the present value of a node, whichever directory is at the path.
    std::optional<std::string> read(const char* name) const;
    std::string node(const char* name) const { return path_ + '/' + name; }
    const std::string& path() const noexcept { return path_; }

    // Texts for people. A text that is there already is not written again.

    void write_status(const std::string& text);
    /// Writes the text in the caller's transaction; call status_is(text) after the commit.
    void put_status(const StoreNodes& nodes, const std::string& text) const;
    void status_is(const std::string& text) { status_ = text; }
    const std::string& status() const noexcept { return status_; }
    /// Writes the error that xl prints when a disk is not attached.
    void write_hotplug_error(const std::string& text);
    void remove_hotplug_error();

    /// xenstored lost its nodes: until look() has seen the directory again, a missing node is treated as unknown.
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
    std::string status_;  ///< the value of the node
    bool gone_ = false;
    bool replaced_ = false;
    bool began_anew_ = false;
    bool hotplug_error_written_ = false;
};

}  // namespace blktap::tapback
