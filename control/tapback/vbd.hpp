// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd: one virtual block device as tapback sees it: its nodes in xenstore, its tapdisk, and the steps between them
// (xenbus_machine.hpp). look() reads the nodes that have changed and does what is to be done; everything else only
// changes what look() will find, and asks for it. Each round trip to xenstored is time that a guest waits for its disk.
//
// Tested by tests/unit/tapback/vbd_test.cpp and tests/control.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/tapback/backend_directory.hpp"
#include "control/tapback/disk_problems.hpp"
#include "control/tapback/disk_session.hpp"
#include "control/tapback/frontend_link.hpp"
#include "control/tapback/options.hpp"
#include "control/tapback/problem_hook.hpp"
#include "control/tapback/reconnect_pace.hpp"
#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/store_session.hpp"
#include "control/tapback/use_check.hpp"
#include "control/tapback/vbd_record.hpp"
#include "control/tapback/xenbus_machine.hpp"
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
    /// A node of its directory has changed: "state", "online", another one, or "" for the directory itself.
    void node_changed(const std::string& below) noexcept;
    /// Writes the node that tells people where it stands. Errors: as of look().
    void write_status();
    void frontend_changed() noexcept { stale_.frontend = true; }
    /// Nothing that was read before counts.
    void all_changed() noexcept { stale_ = {}; }
    /// Nothing is left to do: destroy this. Only after look().
    bool finished() const noexcept { return finished_; }

    /// Starts a tapdisk and opens the image. `life`: the mark of the directory that names the image; empty: whichever
    /// is there. Errors: throws Errc::wrong_state; all others are replies.
    void attach(const ipc::ImageArguments& image, const std::string& life, Done done);
    /// Takes a tapdisk that has its image open; `socket` is its file's name. An image that is open for writing is
    /// opened again when `tap` says that it is only read. Errors: throws std::system_error, and `process` stays the
    /// caller's.
    void pair(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process);
    /// Starts a tapdisk of its own on the image of another VBD's. Errors: throws std::system_error.
    void share(const VbdTap& tap);
    /// Says why it does not serve.
    void report(const std::string& problem);
    /// Null unless its tapdisk came by pair() or share().
    const VbdTap* tap() const noexcept { return session_.tap(); }
    /// Whether a tapdisk may be paired with it: it has none, and is not on its way out.
    bool wants_tap() const noexcept;
    bool is_opening() const noexcept { return now_.tapdisk == Situation::Tapdisk::starting; }

    /// Gives the VBD up; `done` when its tapdisk has ended and the claim is dropped.
    void detach(Done done);
    /// Asks the guest to close a plugged disk; by `force` takes it away from one that does not. Without force a disk
    /// that this domain itself uses stays: EBUSY. Errors: throws Errc::wrong_state: not plugged; others are replies.
    void unplug(bool force, Done done);
    /// The frontend's domain is gone, and its frontend with it.
    void domain_died();
    /// Nodes that are missing from now on, until they are seen again, mean nothing: xenstored began anew.
    void store_lost() noexcept {
        directory_.store_lost();
        link_.forget_watch();
        all_changed();
    }
    void store_found() noexcept { directory_.store_found(); }
    /// Looks whether its directory is there. Errors: as of look().
    bool has_directory();
    /// The nodes that are its own. One whose directory is gone ends, and the next disk of its name waits for that.
    const BackendDirectory& directory() const noexcept { return directory_; }
    /// Passes a message to the tapdisk. Errors: throws Errc::wrong_state: there is none.
    template <ipc::DeclaredMessage M>
    void call_tapdisk(const M& message, const std::vector<int>& descriptors, Done done) {
        session_.call(message, descriptors, std::move(done));
    }
    /// Makes the image, the device and what xenstore says of it `size_bytes` long. Errors: throws Errc::wrong_state;
    /// all others are replies.
    void resize(std::uint64_t size_bytes, Done done);
    /// The requests of the same name of the tapdisk; files are opened, and given up, for them.
    void pause(Done done);
    void resume(const ipc::VbdResume& arguments, Done done);

    const ipc::VbdAddress& address() const noexcept { return address_; }
    bool has_image() const noexcept { return session_.image().has_value(); }
    /// An entry of "list"; `whole`: of "info".
    ipc::VbdEntry entry(bool whole) const;

  private:
    DiskSession::Hooks session_hooks();
    FrontendLink::Hooks link_hooks();
    void gather();
    void changed();
    void observe();
    bool observe_directory();
    void read_backend(const StoreNodes& nodes, Situation& now) const;
    bool confirm(Step step, const StoreTransaction& nodes);
    bool confirmed(Step step);
    bool is_unplugged();
    bool is_too_soon(Step step);
    void perform(Step step);
    void offer();
    void connect();
    void publish();
    void disconnect();
    void tell_to_close();
    ipc::RingsLeft rings_left() const;
    bool kernel_waits() const;
    bool is_own_domain() const;
    void check_use(const char* request, std::function<void()> go_on, const Done& done);
    void take_away(bool force);
    void unplug_takes_long();
    void try_to_record() noexcept;
    void end_tapdisk();
    void watch_ending();
    void give_up_asking();
    bool may_be_replaced() const;
    void forget();
    void leave_directory();
    ipc::ImageArguments as_mode_allows(ipc::ImageArguments image) const;
    void write_record() const;
    bool names_our_tap(const StoreNodes& nodes) const;
    void tell_replaced();
    bool enter(
        Step step, Xenbus state, const std::function<void(const StoreTransaction&)>& write_first = [](const auto&) {});
    void settle();
    void forget_hotplug_error();
    void resized(const ipc::DeviceDescription& device);
    void set_problem(const std::string& problem);
    std::string describe(const Situation& now) const;
    std::string status(const Situation& now) const;
    bool came_by_takeover() const;
    std::string node(const char* name) const { return directory_.node(name); }
    std::string file(const char* suffix) const;
    const XenStore& store() const;

    Host& host_;
    const ipc::VbdAddress address_;
    const bool plugged_;
    BackendDirectory directory_;
    Situation now_;
    /// What of `now_` is to be read again.
    struct Stale {
        bool directory = true;  ///< that it is there, whose it is, and where its frontend is
        bool backend = true;    ///< its state, and "online"
        bool frontend = true;
    };
    Stale stale_;
    bool domain_dead_ = false;
    bool forced_ = false;    ///< unplug by force was asked for
    bool released_ = false;  ///< somebody gave it up, or its domain died
    bool finished_ = false;
    ReconnectPace pace_;
    bool paced_ = false;  ///< the guest waits because it came too often
    DiskSession session_;
    FrontendLink link_;
    DiskProblems problems_;
    std::vector<std::function<void()>> when_finished_;  ///< this VBD is finished
    EventLoop::Timer unplug_timer_;
    EventLoop::Timer give_up_timer_;  ///< it has not given the rings back
    Done unplug_done_;
    std::optional<UseCheck> use_check_;
};

}  // namespace blktap::tapback
