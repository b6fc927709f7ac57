// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StoreSession: the daemon's connection to xenstored, which may go and come back, perhaps without its nodes. While it
// is away nothing is decided, because what cannot be read is not gone; after it began anew nothing that is missing
// counts as removed, until every disk was seen again.
//
// Tested by tests/unit/tapback/store_session_test.cpp and tests/control/xenstored_test.cpp.
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
    /// What one turn takes before clients and tapdisks have theirs: a guest may rewrite its state for ever.
    static constexpr int events_per_turn = 256;

    struct Hooks {
        /// Connected. `remembers`: it has our mark, so that what is missing there was removed. May throw, and then the
        /// connection is given up and tried again.
        std::function<void(bool remembers)> found{};
        std::function<void()> lost{};
        /// Whether every disk that a xenstored without our mark may have lost was seen again.
        std::function<bool()> all_seen{};
        // Events. They may throw, as all that reads the store.
        std::function<void()> domains_changed{};
        std::function<void(const ipc::VbdAddress&)> frontend_changed{};
        std::function<void(const ipc::BackendNode&)> backend_changed{};
        std::function<void(const std::string& path)> directory_changed{};  ///< above the disks': a whole domain's
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
    /// Every few seconds: notices that xenstored went, or came back.
    void tick();
    /// Gives the events to the hooks, a bounded number of them.
    void take_events();
    /// Whether xenstored was lost; to be asked after something about it failed.
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
