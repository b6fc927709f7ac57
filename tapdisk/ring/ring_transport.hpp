// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RingTransport: where the memory of a connection's rings and their events come from: Xen (xen_transport.hpp) or this
// host (local_transport.hpp). PeerMemory and PeerSignal do the work of each request, without a virtual call.
#pragma once

#include <vector>

#include "tapdisk/ring/connection_queue.hpp"
#include "tapdisk/ring/peer_memory.hpp"

namespace blktap {

class RingTransport {
  public:
    RingTransport() = default;
    RingTransport(const RingTransport&) = delete;
    RingTransport& operator=(const RingTransport&) = delete;
    virtual ~RingTransport() = default;

    /// Returns the rings with their signals, once. The transport outlives them.
    virtual std::vector<ConnectionQueue> take_queues() = 0;
    /// The memory of the peer; valid as long as the transport.
    virtual PeerMemory& memory() noexcept = 0;

    /// The descriptor to watch, and its epoll events.
    virtual int event_fd() const noexcept = 0;
    virtual std::uint32_t epoll_events() const noexcept = 0;
    /// Takes the events that made event_fd() readable.
    virtual void take_events() noexcept = 0;
    /// Lets the taken events fire again. Call before the last check of the rings.
    virtual void rearm_events() noexcept = 0;

    /// Returns the descriptors for the peer, once: the one by which it announces requests, then for each queue one that
    /// announces answers. Empty for a guest.
    virtual std::vector<UniqueFd> take_peer_descriptors() { return {}; }
};

}  // namespace blktap
