// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Handles and ports come and go under the world's lock; signalling takes none.
#include "tests/fakexen/channels.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <tuple>
#include <unistd.h>
#include <utility>

#include "libblktap/base/error.hpp"
#include "tests/fakexen/channel_events.hpp"
#include "tests/fakexen/failures.hpp"

namespace fakexen {
namespace {

constexpr DomainId nobody = 0x7FFF;  // no domain has this number (DOMID_MASK)

int fail(int error) noexcept {
    errno = error;
    return -1;
}

/// Returns a handle that nobody has, with its bell. One whose bell is still open somewhere, in a process that is ending
/// for one, is left alone.
std::pair<HandleId, blktap::UniqueFd> open_handle(SharedWorld& world, const WorldLock& lock, bool close_on_exec) {
    const auto& handles = world.layout().handles;
    for (const bool buries : {false, true}) {
        if (buries) bury_the_dead(world, lock);
        for (HandleId id = 1; id < handles.size(); ++id) {
            if (handles[id].process != 0) continue;
            if (blktap::UniqueFd bell = world.open_bell(id, close_on_exec)) return {id, std::move(bell)};
        }
    }
    blktap::throw_error({EMFILE, std::system_category()}, "fakexen: event channel handle");
}

// The other end becomes unbound, for whoever comes next from the same domain.
void close_port(SharedWorld& world, Port port) noexcept {
    PortEntry& entry = world.port(port);
    const Port peer = entry.peer.exchange(0);
    if (peer != 0 && world.port(peer).peer.load() == port) world.port(peer).peer.store(0);
    entry.handle.store(0);
}

template <class Predicate>
void close_ports(SharedWorld& world, Predicate predicate) noexcept {
    for (Port port = 1; port < world.used_ports().size(); ++port) {
        const HandleId handle = world.port(port).handle.load();
        if (handle != 0 && predicate(handle)) close_port(world, port);
    }
}

bool owner_is_alive(const SharedWorld& world, Port port) noexcept {
    return is_alive(world, world.layout().handles[world.port(port).handle.load()].process);
}

}  // namespace

ChannelHandle::ChannelHandle(SharedWorld& world, DomainId domain, bool close_on_exec) : world_(world), domain_(domain) {
    const WorldLock lock{world_};
    std::tie(id_, bell_) = open_handle(world_, lock, close_on_exec);
    Handle& handle = world_.layout().handles[id_];
    handle.missed.store(0);
    handle.process = world_.self();
}

ChannelHandle::ChannelHandle(SharedWorld& world, DomainId domain, blktap::UniqueFd fd)
    : world_(world), domain_(domain), id_(world.handle_behind(fd.get())), bell_(std::move(fd)) {
    const WorldLock lock{world_};
    Handle& handle = world_.layout().handles[id_];
    if (handle.process == 0)
        blktap::throw_error({EINVAL, std::system_category()}, "fakexen: not an event channel descriptor");
    handle.process = world_.self();
}

ChannelHandle::~ChannelHandle() {
    const WorldLock lock{world_};
    close_ports(world_, [this](HandleId handle) { return handle == id_; });
    bell_.reset();
    world_.layout().handles[id_].process = 0;
}

int ChannelHandle::allocate(const WorldLock&, DomainId remote_domain) noexcept {
    for (Port port = 1; port < port_count; ++port) {
        PortEntry& entry = world_.port(port);
        if (entry.handle.load() != 0) continue;
        world_.layout().header.used_ports = std::max(world_.layout().header.used_ports, port + 1);
        entry.domain = domain_;
        entry.remote_domain = remote_domain;
        entry.peer.store(0);
        entry.handle.store(id_);
        // After the handle: a late event of the port's last life is either wiped here or finds us to wake.
        entry.events.store(0);
        return static_cast<int>(port);
    }
    return fail(ENOSPC);
}

bool ChannelHandle::is_forbidden(DomainId remote_domain) const noexcept {
    return restricted_to_ && *restricted_to_ != remote_domain;
}

int ChannelHandle::bind_unbound(DomainId remote_domain) noexcept {
    if (const int error = due_failure(Call::bind); error != 0) return fail(error);
    if (is_forbidden(remote_domain)) return fail(EACCES);
    const WorldLock lock{world_};
    return allocate(lock, remote_domain);
}

int ChannelHandle::bind_virq() noexcept {
    if (restricted_to_) return fail(EACCES);
    const WorldLock lock{world_};
    return allocate(lock, nobody);
}

bool ChannelHandle::offers(DomainId remote_domain, Port remote_port) const noexcept {
    if (remote_port == 0 || remote_port >= port_count) return false;
    const PortEntry& remote = world_.port(remote_port);
    return remote.handle.load() != 0 && remote.domain == remote_domain && remote.remote_domain == domain_;
}

int ChannelHandle::bind_interdomain(DomainId remote_domain, Port remote_port) noexcept {
    if (const int error = due_failure(Call::bind); error != 0) return fail(error);
    if (is_forbidden(remote_domain)) return fail(EACCES);
    const WorldLock lock{world_};
    if (!offers(remote_domain, remote_port)) return fail(EINVAL);
    PortEntry& remote = world_.port(remote_port);
    const bool taken = remote.peer.load() != 0;
    if (!owner_is_alive(world_, remote_port) || (taken && !owner_is_alive(world_, remote.peer.load()))) {
        bury_the_dead(world_, lock);
    }
    if (!offers(remote_domain, remote_port) || remote.peer.load() != 0) return fail(EINVAL);

    const int port = allocate(lock, remote_domain);
    if (port < 0) return port;
    PortEntry& local = world_.port(static_cast<Port>(port));
    local.peer.store(remote_port);
    remote.peer.store(static_cast<Port>(port));
    raise(world_, static_cast<Port>(port));
    // The last peer may have been killed between making the port pending and waking its handle.
    if (remote.events.load() == event::pending) ring_bell(world_, remote_port);
    return port;
}

int ChannelHandle::unbind(Port port) noexcept {
    const WorldLock lock{world_};
    if (!owns(port)) return fail(port < port_count ? ENOTCONN : EINVAL);
    close_port(world_, port);
    return 0;
}

int ChannelHandle::restrict_to(DomainId remote_domain) noexcept {
    if (restricted_to_) return fail(EACCES);
    restricted_to_ = remote_domain;
    return 0;
}

void forget_channels(SharedWorld& world, const WorldLock&, const ProcessSet& processes) noexcept {
    auto& handles = world.layout().handles;
    close_ports(world, [&](HandleId handle) { return processes[handles[handle].process]; });
    for (auto& handle : handles) {
        if (handle.process != 0 && processes[handle.process]) handle.process = 0;
    }
}

// Linux takes ten datagrams or more before it refuses one. The second try is for a reader that emptied its socket
// before it could see the mark: either there is room now, or the reader has still to come.
void ring_bell(SharedWorld& world, Port port) noexcept {
    const HandleId handle = world.port(port).handle.load();
    if (handle == 0 || world.ring_bell(handle, port)) return;
    world.layout().handles[handle].missed.store(1);
    world.ring_bell(handle, port);
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

/// Sends the numbers again that found no room.
void ChannelHandle::ring_for_missed() noexcept {
    std::atomic<std::uint16_t>& missed = world_.layout().handles[id_].missed;
    if (missed.load() == 0 || missed.exchange(0) == 0) return;
    const WorldLock lock{world_};
    for (Port port = 1; port < world_.used_ports().size(); ++port)
        if (owns(port) && world_.port(port).events.load() == event::pending) ring_bell(world_, port);
}

int ChannelHandle::pending() noexcept {
    Port port = 0;
    while (::read(bell_.get(), &port, sizeof(port)) == sizeof(port)) {
        ring_for_missed();
        std::uint32_t expected = event::pending;
        if (owns(port) && world_.port(port).events.compare_exchange_strong(expected, event::masked)) {
            return static_cast<int>(port);
        }
        // The number was stale. A caller that polled before a blocking read must not be left to wait here.
        pollfd readable{.fd = bell_.get(), .events = POLLIN, .revents = 0};
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
