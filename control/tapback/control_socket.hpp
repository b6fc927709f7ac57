// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlSocket: serves the requests of tap-ctl, block-tapdisk and toolstacks (docs/tapback-protocol.md).
//
// Tested by tests/control.
#pragma once

#include <memory>

#include "control/tapback/daemon.hpp"
#include "libblktap/ipc/request_server.hpp"

namespace blktap::tapback {

class ControlSocket {
  public:
    /// All arguments outlive this.
    ControlSocket(EventLoop& loop, Daemon& daemon, ipc::MessageListener& listener);
    ~ControlSocket();

  private:
    struct Handlers;

    std::unique_ptr<Handlers> handlers_;
    ipc::RequestServer server_;
};

}  // namespace blktap::tapback
