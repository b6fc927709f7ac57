// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlSocket: where tap-ctl, block-tapdisk and toolstacks talk to tapback (docs/tapback-protocol.md). A client that
// goes away takes nothing with it: what it asked for is done all the same.
//
// Tested by tests/control.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "control/tapback/daemon.hpp"

namespace blktap::tapback {

class ControlSocket {
  public:
    /// All outlive this.
    ControlSocket(EventLoop& loop, Daemon& daemon, ipc::MessageListener& listener);
    ControlSocket(const ControlSocket&) = delete;
    ControlSocket& operator=(const ControlSocket&) = delete;
    ~ControlSocket();

  private:
    struct Client;
    using ClientId = std::uint64_t;

    void accept_clients();
    void serve(ClientId id);
    bool serve_next(ClientId id);
    void handle(ClientId id, const ipc::Request& request);
    void run(const ipc::Request& request, const Daemon::Done& done);
    void run_hotplug(const ipc::Request& request, const Daemon::Done& done);
    void run_tap(const ipc::Request& request, const Daemon::Done& done);
    void run_operator(const ipc::Request& request, const Daemon::Done& done);
    void resume(const ipc::Request& request, const Daemon::Done& done);
    void record(const ipc::Request& request, const Daemon::Done& done);
    void reply(ClientId id, std::uint64_t request, const ipc::Reply& reply);

    EventLoop& loop_;
    Daemon& daemon_;
    ipc::MessageListener& listener_;
    std::map<ClientId, std::unique_ptr<Client>> clients_;
    ClientId last_client_ = 0;
    EventLoop::Watch watch_;
};

}  // namespace blktap::tapback
