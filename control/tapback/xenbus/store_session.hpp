// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StoreSession: the daemon's connection to xenstored, which may go and come back, perhaps without its nodes. While
// xenstored is away nothing is decided: what cannot be read is not gone. After it began anew no missing node counts as
// removed until every disk was seen again.
//
// Tested by tests/unit/tapback/xenbus/store_session_test.cpp and tests/control/xenstored_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/vbd_address.hpp"
#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::tapback {

class StoreSession {
  public:
    /// Events that are handled before clients and tapdisks have their turn: a guest may rewrite its state for ever.
    static constexpr int events_per_turn = 256;

    struct Hooks {
        /// Called when connected. `remembers`: xenstored has our mark, so a missing node was removed. If this throws,
        /// the connection is closed and tried again.
        std::function<void(bool remembers)> found{};
        std::function<void()> lost{};
        /// Whether every disk that a xenstored without our mark may have lost was seen again.
        std::function<bool()> all_seen{};
        // Events. These may throw, as every read of the store.
        std::function<void()> domains_changed{};
        std::function<void(const ipc::VbdAddress&)> frontend_changed{};
        std::function<void(const ipc::BackendNode&)> backend_changed{};
        std::function<void(const std::string& path)> directory_changed{};  ///< one above the disks': a domain's
    };

    /// No connection before connect(). `loop` outlives this.
    StoreSession(EventLoop& loop, Hooks hooks) : loop_(loop), hooks_(std::move(hooks)) {}
    StoreSession(const StoreSession&) = delete;
    StoreSession& operator=(const StoreSession&) = delete;

    /// Null while xenstored is away.
    const XenStore* store() const noexcept { return store_.get(); }
    /// Errors: throws ENOTCONN while xenstored is away.
    const XenStore& require() const;

    /// Connects, if xenstored can be reached. A failure is logged, and tick() tries again.
    void connect();
    /// Call it every few seconds: notices that xenstored has gone, or has come back.
    void tick();
    /// Passes up to events_per_turn events to the hooks.
    void take_events();
    /// Whether xenstored was lost. Call it after an access to it failed.
    bool check_lost();

  private:
    void open();
    void lose();
    void mark();
    void handle(const XenStore::Event& event);

    EventLoop& loop_;
    Hooks hooks_;
    std::unique_ptr<XenStore> store_;
    std::optional<EventLoop::Watch> watch_;
    bool marked_ = false;  ///< xenstored has our mark
};

}  // namespace blktap::tapback
