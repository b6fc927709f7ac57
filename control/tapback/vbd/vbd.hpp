// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd: one virtual block device of tapback. It joins the parts of a disk, each of which is tested by itself: the
// directory in xenstore, the situation, the tapdisk, the frontend, and the status for people. It does the steps between
// them (xenbus_machine.hpp): look() reads the nodes that have changed and does the steps that are due; all other
// functions only change what look() will find, and ask for it. A guest waits for its disk during each round trip to
// xenstored.
//
// Tested by tests/unit/tapback/vbd/vbd_test.cpp and tests/control.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/config/options.hpp"
#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/session/vbd_record.hpp"
#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/vbd/disk_record.hpp"
#include "control/tapback/vbd/disk_situation.hpp"
#include "control/tapback/vbd/disk_status.hpp"
#include "control/tapback/vbd/own_disk.hpp"
#include "control/tapback/vbd/problem_hook.hpp"
#include "control/tapback/vbd/removal.hpp"
#include "control/tapback/vbd/served_image.hpp"
#include "control/tapback/vbd/tapdisk_end.hpp"
#include "control/tapback/xenbus/backend_directory.hpp"
#include "control/tapback/xenbus/frontend_link.hpp"
#include "control/tapback/xenbus/reconnect_pace.hpp"
#include "control/tapback/xenbus/store_session.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// What all VBDs share; all of it outlives them.
struct Host {
    EventLoop& loop;
    const Options& options;
    TapdiskSource& tapdisks;
    ImageFiles& files;
    ProblemHook& problem_hook;
    const StoreSession& session;
    /// Asks for a look() at this VBD in this turn or the next.
    std::function<void(const ipc::VbdAddress&)> mark{};
    /// Asks for a look() some seconds later.
    std::function<void(const ipc::VbdAddress&)> mark_later{};
    /// Asks for a write_status() within seconds.
    std::function<void(const ipc::VbdAddress&)> mark_status{};
};

class Vbd {
  public:
    using Done = std::function<void(const ipc::Reply&)>;

    /// A VBD without a tapdisk, for the directory that its first look() finds.
    Vbd(Host& host, const ipc::VbdAddress& address) : Vbd(host, address, Plugged::no, "") {}
    /// `plugged`: tapback removes its nodes. `life`: the mark of its directory; empty: not known.
    enum class Plugged : bool { no, yes };
    Vbd(Host& host, const ipc::VbdAddress& address, Plugged plugged, const std::string& life);
    /// A VBD that an earlier tapback served, from its record: finds its tapdisk again.
    Vbd(Host& host, const VbdRecord& record);
    Vbd(const Vbd&) = delete;
    Vbd& operator=(const Vbd&) = delete;
    /// Leaves its tapdisk running.
    ~Vbd();

    /// Does what the nodes ask for. Errors: throws std::system_error (xenstored's); nothing is lost: look again.
    void look();
    /// Writes the status node, for people. Errors: as of look().
    void write_status() { status_.write(situation_.now()); }
    /// Whether nothing is left to do: destroy this then. Ask only after look().
    bool finished() const noexcept { return finished_; }

    // Changes. After each of these: look().

    /// A node of its directory: "state", "online", another one, or "" for the directory itself.
    void node_changed(const std::string& below) noexcept { situation_.node_changed(below); }
    void frontend_changed() noexcept { situation_.frontend_changed(); }
    /// All nodes may have changed: they are read again.
    void all_changed() noexcept { situation_.all_changed(); }
    /// The frontend's domain is gone, and its frontend with it.
    void domain_died();
    /// xenstored began anew: until the directory is seen again, a missing node is unknown, and not removed.
    void store_lost() noexcept;
    void store_found() noexcept { directory_.store_found(); }
    /// Looks whether its directory is there. Errors: as of look().
    bool has_directory() { return situation_.has_directory(); }
    /// The VBD's own nodes. A VBD whose directory is gone ends, and the next disk of its name waits for that.
    const BackendDirectory& directory() const noexcept { return directory_; }

    // Requests.

    /// The image to serve, and the requests about it.
    ServedImage& image() noexcept { return image_; }
    /// Records why the disk is not served.
    void report(const std::string& problem);
    /// Gives the VBD up; calls `done` when its tapdisk has ended and the claim is dropped.
    void detach(Done done);
    /// Asks the guest to close a plugged disk; with `force` takes the disk away from a guest that does not. Without it,
    /// a disk that this domain itself uses stays: EBUSY. Errors: throws Errc::wrong_state: not plugged; others are
    /// replies.
    void unplug(bool force, Done done);

    const ipc::VbdAddress& address() const noexcept { return address_; }
    /// The entry for "list"; with `whole`, for "info".
    ipc::VbdEntry entry(bool whole) const { return status_.entry(situation_.now(), whole); }

  private:
    DiskSession::Hooks session_hooks();
    FrontendLink::Hooks link_hooks();
    Removal::Hooks removal_hooks();
    bool has_what_a_successor_needs() const;
    void changed();
    void changed_later();
    bool is_unplugged();
    bool is_too_soon(Step step);
    bool kernel_waits() const;
    void perform(Step step);
    void offer();
    void connect();
    void publish();
    void disconnect();
    void forget();
    void rest();
    std::optional<VbdRecord> record() const;
    std::string file(const char* suffix) const;

    Host& host_;
    const ipc::VbdAddress address_;
    const bool plugged_;
    bool finished_ = false;
    ReconnectPace pace_;
    BackendDirectory directory_;
    DiskRecord record_;
    DiskSession session_;
    FrontendLink link_;
    DiskStatus status_;
    DiskSituation situation_;
    ServedImage image_;
    OwnDisk own_disk_;
    Removal removal_;
    TapdiskEnd tapdisk_end_;
};

}  // namespace blktap::tapback
