// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RingTransport: where the memory of a connection's rings and their events come from: Xen (xen_transport.hpp) or this
// host (local_transport.hpp). What it is asked for each request, PeerMemory and PeerSignal do without a virtual call.
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

    /// The rings with their signals. Once. The transport outlives them.
    virtual std::vector<ConnectionQueue> take_queues() = 0;
    /// Lifetime: the transport's.
    virtual PeerMemory& memory() noexcept = 0;

    /// What to watch, and with which events of epoll.
    virtual int event_fd() const noexcept = 0;
    virtual std::uint32_t epoll_events() const noexcept = 0;
    /// Takes the events that made event_fd() readable.
    virtual void take_events() noexcept = 0;
    /// Lets what was taken fire again. Before the rings are looked at for the last time.
    virtual void rearm_events() noexcept = 0;

    /// For the peer, when it has none yet: what tells us of its requests, then what tells it of answers, one for each
    /// queue. Once; empty for a guest.
    virtual std::vector<UniqueFd> take_peer_descriptors() { return {}; }
};

}  // namespace blktap
