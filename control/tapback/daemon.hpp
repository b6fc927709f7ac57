// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Daemon: all VBDs of this host, the events that make them look, and the requests of clients.
//
// Tested by tests/control.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "control/tapback/session/stray_tapdisks.hpp"
#include "control/tapback/session/tapdisk_process.hpp"
#include "control/tapback/storage/process_starter.hpp"
#include "control/tapback/taps.hpp"
#include "control/tapback/vacated_places.hpp"
#include "control/tapback/waiting_requests.hpp"

namespace blktap::tapback {

class Daemon {
  public:
    using Done = Vbd::Done;

    /// Finds the disks of an earlier tapback and connects to xenstored, now or when there is one. `loop` and `options`
    /// outlive the daemon. Errors: throws std::system_error (the run directory).
    Daemon(EventLoop& loop, const Options& options);
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    /// The loop's turn: lets VBDs look, a bounded number of them.
    EventLoop::Next turn();

    // The requests of docs/tapback-protocol.md. Errors, of all: thrown as std::system_error, or in the reply.
    void claim(const ipc::VbdAddress& backend, Done done);
    void attach(const ipc::Attach& arguments, Done done);
    void detach(const ipc::VbdAddress& backend, Done done);
    bool owns(const ipc::VbdAddress& backend) const;
    ipc::ListResult list(const std::string& after) const;
    void plug(const ipc::Plug& arguments, Done done);
    void unplug(const ipc::Unplug& arguments, Done done);
    ipc::StatusResult status() const;
    /// The requests of Xen's block-tap script.
    Taps& taps() noexcept { return taps_; }
    /// Errors: throws ENOENT: no such VBD.
    Vbd& vbd(const ipc::VbdArguments& name);

  private:
    Vbd* find(const std::string& name) const;
    Vbd* find(const ipc::VbdAddress& backend) const;
    void require_no_other_kind(const ipc::VbdAddress& backend) const;
    Vbd& find_or_add(const ipc::VbdAddress& backend);
    void when_vacant(const ipc::VbdAddress& backend, std::function<void()> go_on, const Done& done);
    void attach_now(const ipc::Attach& arguments, Done done);
    void plug_now(const ipc::Plug& arguments, Done done);
    void mark(const ipc::VbdAddress& vbd) { marked_.insert(vbd.name()); }
    void look(const std::string& name);
    void guard(const std::string& name, const std::function<void(Vbd&)>& work);
    void restore();
    StoreSession::Hooks store_hooks();
    void store_found(bool remembers);
    void backend_changed(const ipc::BackendNode& node);
    void directory_changed(const std::string& path);
    void find_or_refuse(const ipc::VbdAddress& backend);
    void scan();
    void scan(ipc::VbdAddress::Kind kind);
    void check_domains();
    void tick();
    const XenStore& store() const { return session_.require(); }

    EventLoop& loop_;
    storage::ProcessStarter storage_;
    ImageFiles files_{loop_, storage_.directories(), [this] { return storage_.start(); }};
    TapdiskSearch search_{loop_, [this] { return storage_.start(); }};
    TapdiskProcesses tapdisks_;
    ProblemHook problem_hook_;
    StoreSession session_;
    Host host_;
    StrayTapdisks strays_;
    Taps taps_;
    /// By name: a frontend has one device of a number, whatever the kind of its backend.
    std::map<std::string, std::unique_ptr<Vbd>> vbds_;
    std::set<std::string> marked_;  ///< VBDs that must look
    std::string last_looked_;       ///< the name of the last one in `marked_` that looked
    std::set<std::string> later_;   ///< VBDs that must look at the next tick: their last look failed, or was too soon
    std::set<std::string> untold_;  ///< VBDs whose status must be written at the next tick
    VacatedPlaces vacated_;
    WaitingRequests waiting_;
    EventLoop::Timer tick_;
};

}  // namespace blktap::tapback
