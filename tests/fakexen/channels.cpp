// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Event channels: signalling. (Binding: channel_ports.cpp.)
#include "tests/fakexen/channels.hpp"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

#include "tests/fakexen/channel_events.hpp"
#include "tests/fakexen/failures.hpp"

namespace fakexen {

// A write that fails means a FIFO full of stale numbers or no FIFO at all: nobody reads it.
void ring_bell(SharedWorld& world, Port port) noexcept {
    const HandleId handle = world.port(port).handle.load();
    if (handle == 0) return;
    [[maybe_unused]] const auto written = ::write(world.bell(handle), &port, sizeof(port));
}

void raise(SharedWorld& world, Port port) noexcept {
    // One read-modify-write, sequentially consistent: everything that the notifier wrote before is seen by who takes
    // the event, and nothing that it reads afterwards was read too early.
    const std::uint32_t before = world.port(port).events.fetch_or(event::pending, std::memory_order_seq_cst);
    if (before == 0) ring_bell(world, port);
}

void notify_peer(SharedWorld& world, Port port) noexcept {
    // A peer that closes this very moment costs its port's next owner a spurious event, which Xen allows at any time.
    if (const Port peer = world.port(port).peer.load(std::memory_order_acquire); peer != 0) raise(world, peer);
}

bool ChannelHandle::owns(Port port) const noexcept {
    return port != 0 && port < port_count && world_.port(port).handle.load(std::memory_order_acquire) == id_;
}

int ChannelHandle::notify(Port port) noexcept {
    int error = due_failure(Call::notify);
    if (error == 0 && !owns(port)) error = ENOTCONN;
    if (error != 0) {
        errno = error;
        return -1;
    }
    notify_peer(world_, port);
    return 0;
}

int ChannelHandle::pending() noexcept {
    Port port = 0;
    while (::read(fifo_.get(), &port, sizeof(port)) == sizeof(port)) {
        std::uint32_t expected = event::pending;
        if (owns(port) && world_.port(port).events.compare_exchange_strong(expected, event::masked)) {
            return static_cast<int>(port);
        }
        // The number was stale. A caller that polled before a blocking read must not be left to wait here.
        pollfd readable{.fd = fifo_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&readable, 1, 0) != 1) {
            errno = EAGAIN;
            break;
        }
    }
    return -1;
}

int ChannelHandle::unmask(Port port) noexcept {
    if (!owns(port)) return 0;
    const std::uint32_t before = world_.port(port).events.fetch_and(~event::masked);
    if (before == (event::masked | event::pending)) ring_bell(world_, port);
    return 0;
}

}  // namespace fakexen
