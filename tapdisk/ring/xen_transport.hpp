// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// XenTransport: rings in a guest's granted pages, and event channels.
//
// Tested by tests/unit/tapdisk/ring/connection_test.cpp, tests/unit/tapdisk/vbd_test.cpp.
#pragma once

#include <optional>
#include <vector>

#include "libblktap/ipc/messages.hpp"
#include "libblktap/xen/xen_handles.hpp"
#include "tapdisk/ring/ring_transport.hpp"

namespace blktap {

class XenTransport final : public RingTransport {
  public:
    /// Maps and binds everything. `handles` outlives this. Errors: throws std::system_error whose text names the queue,
    /// page, grant or port; nothing stays mapped or bound.
    XenTransport(const ipc::ConnectArguments& frontend, xen::KeptHandles& handles);

    std::vector<ConnectionQueue> take_queues() override { return std::move(queues_); }
    PeerMemory& memory() noexcept override { return *memory_; }
    int event_fd() const noexcept override { return handles_->events.fd(); }
    std::uint32_t epoll_events() const noexcept override;
    void take_events() noexcept override;
    void rearm_events() noexcept override;

  private:
    xen::KeptHandles::Lent handles_;
    std::vector<xen::GuestPages> pages_;
    std::vector<ConnectionQueue> queues_;  ///< until take_queues()
    std::size_t channel_count_;
    std::optional<PeerMemory> memory_;
    std::vector<xen::Port> masked_;  ///< channels that fired and were not unmasked
};

}  // namespace blktap
