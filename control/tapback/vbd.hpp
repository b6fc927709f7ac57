// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd: one virtual block device as tapback sees it. It joins the parts of a disk, each of which is tested by itself:
// its directory in xenstore, where it stands, its tapdisk, its frontend, and what people are told; and it does the
// steps between them (xenbus_machine.hpp). look() reads the nodes that have changed and does what is to be done;
// everything else only changes what look() will find, and asks for it. Each round trip to xenstored is time that a
// guest waits for its disk.
//
// Tested by tests/unit/tapback/vbd_test.cpp and tests/control.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/backend_directory.hpp"
#include "control/tapback/disk_session.hpp"
#include "control/tapback/disk_situation.hpp"
#include "control/tapback/disk_status.hpp"
#include "control/tapback/frontend_link.hpp"
#include "control/tapback/options.hpp"
#include "control/tapback/own_disk.hpp"
#include "control/tapback/problem_hook.hpp"
#include "control/tapback/reconnect_pace.hpp"
#include "control/tapback/removal.hpp"
#include "control/tapback/served_image.hpp"
#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/store_session.hpp"
#include "control/tapback/tapdisk_end.hpp"
#include "control/tapback/vbd_record.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// What all VBDs share. Everything outlives them.
struct Host {
    EventLoop& loop;
    const Options& options;
    TapdiskSource& tapdisks;
    ImageFiles& files;
    ProblemHook& problem_hook;
    const StoreSession& session;
    /// Asks for a look() in this or the next turn.
    std::function<void(const ipc::VbdAddress&)> mark{};
    /// Asks for a look() some seconds later.
    std::function<void(const ipc::VbdAddress&)> mark_later{};
    /// Asks for a write_status() within seconds.
    std::function<void(const ipc::VbdAddress&)> mark_status{};
};

class Vbd {
  public:
    using Done = std::function<void(const ipc::Reply&)>;

    /// A VBD without a tapdisk, of the directory that is there when it looks first.
    Vbd(Host& host, const ipc::VbdAddress& address) : Vbd(host, address, Plugged::no, "") {}
    /// `plugged`: its nodes are ours to remove. `life`: the mark of its directory; empty: not known.
    enum class Plugged : bool { no, yes };
    Vbd(Host& host, const ipc::VbdAddress& address, Plugged plugged, const std::string& life);
    /// A VBD that an earlier tapback served, as it wrote down: finds its tapdisk again.
    Vbd(Host& host, const VbdRecord& record);
    Vbd(const Vbd&) = delete;
    Vbd& operator=(const Vbd&) = delete;
    /// Leaves its tapdisk running.
    ~Vbd();

    /// Does what the nodes ask for. Errors: throws std::system_error (xenstored); nothing is lost, look again.
    void look();
    /// Writes the node that tells people where it stands. Errors: as of look().
    void write_status() { status_.write(situation_.now()); }
    /// Nothing is left to do: destroy this. Only after look().
    bool finished() const noexcept { return finished_; }

    // What has changed. After each of these: look().

    /// A node of its directory: "state", "online", another one, or "" for the directory itself.
    void node_changed(const std::string& below) noexcept { situation_.node_changed(below); }
    void frontend_changed() noexcept { situation_.frontend_changed(); }
    /// Nothing that was read before counts.
    void all_changed() noexcept { situation_.all_changed(); }
    /// The frontend's domain is gone, and its frontend with it.
    void domain_died();
    /// xenstored began anew: until it is seen again, a node that is missing is unknown, and not removed.
    void store_lost() noexcept;
    void store_found() noexcept { directory_.store_found(); }
    /// Looks whether its directory is there. Errors: as of look().
    bool has_directory() { return situation_.has_directory(); }
    /// The nodes that are its own. One whose directory is gone ends, and the next disk of its name waits for that.
    const BackendDirectory& directory() const noexcept { return directory_; }

    // What it is asked.

    /// The image that it is to serve, and requests about it.
    ServedImage& image() noexcept { return image_; }
    /// Says why it does not serve.
    void report(const std::string& problem);
    /// Gives the VBD up; `done` when its tapdisk has ended and the claim is dropped.
    void detach(Done done);
    /// Asks the guest to close a plugged disk; by `force` takes it away from one that does not. Without force a disk
    /// that this domain itself uses stays: EBUSY. Errors: throws Errc::wrong_state: not plugged; others are replies.
    void unplug(bool force, Done done);

    const ipc::VbdAddress& address() const noexcept { return address_; }
    /// An entry of "list"; `whole`: of "info".
    ipc::VbdEntry entry(bool whole) const { return status_.entry(situation_.now(), whole); }

  private:
    DiskSession::Hooks session_hooks();
    FrontendLink::Hooks link_hooks();
    Removal::Hooks removal_hooks();
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
    void write_record() const;
    void try_to_record() noexcept;
    std::string file(const char* suffix) const;

    Host& host_;
    const ipc::VbdAddress address_;
    const bool plugged_;
    bool finished_ = false;
    ReconnectPace pace_;
    BackendDirectory directory_;
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
