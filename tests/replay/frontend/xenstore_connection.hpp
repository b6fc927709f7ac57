// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// XenstoreConnection: reaches a backend as a guest's block driver does, through the nodes and states of xenstore. The
// toolstack has made the frontend's directory; everything in it that a guest writes is written here.
//
// Tested by tests/unit/replay/xenstore_connection_test.cpp.
#pragma once

#include <functional>

#include "libblktap/base/clock.hpp"
#include "tests/replay/frontend/connection.hpp"
#include "tests/replay/frontend/xenstore_nodes.hpp"

namespace blktap::replay {

struct XenstoreOptions {
    std::string frontend{};              ///< "/local/domain/5/device/vbd/51712"
    bool skip_init_wait = false;         ///< publish the rings before the backend has made offers
    bool straight_to_connected = false;  ///< publish them with state 4 (Mini-OS, firmware), not 3
    bool never_close = false;            ///< asked to close, stay in Closing and go on; never close by oneself
    bool close_at_once = false;          ///< asked to close, say Closed and wait then for what was sent
    OddNodes odd{};
};

class XenstoreConnection final : public Connection {
  public:
    /// `timeout` limits each wait for the backend; `interrupt_fd` (-1: never) ends one of those before the disk is
    /// there. Errors: throws std::system_error (no xenstored), std::runtime_error (no such frontend).
    XenstoreConnection(XenstoreOptions options, Nanoseconds timeout, int interrupt_fd);

    FrontendOptions prepare(const FrontendOptions& wishes) override;
    Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) override;
    void disconnect() override;
    int fd() const noexcept override { return store_->fd(); }
    bool check() override;
    std::optional<pid_t> backend_pid() const override { return std::nullopt; }

  private:
    void open_store();
    ipc::DeviceDescription publish(const ipc::ConnectArguments& rings);
    void give_up() noexcept;
    void set_state(XenbusState state);
    void drain_events() const;
    /// The backend's state when `done` holds for it. Errors: throws Failure "the backend <what> ..." after the timeout.
    XenbusState wait_for_backend(const std::function<bool(XenbusState)>& done, const std::string& what);

    const XenstoreOptions options_;
    const Nanoseconds timeout_;
    const int interrupt_fd_;
    const MonotonicClock clock_{};
    std::optional<XenStore> store_;
    BackendPlace backend_;
    bool asked_to_close_ = false;
    bool leaving_ = false;
};

}  // namespace blktap::replay
