// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Event channels of the simulated machine. A port has a pending and a mask bit as on Xen; where the kernel would wake a
// process, a datagram with the port's number goes to the handle's socket. The socket holds a number for every port that
// is pending and not masked, unless there was no room, and perhaps stale ones, which pending() skips.
//
// Functions that answer the C API set errno. notify(), pending() and unmask() take no lock and allocate nothing;
// notify() makes one system call when it has to wake, none when the event is pending already.
//
// Tested by tests/unit/xen/fakexen_channels_test.cpp.
#pragma once

#include <optional>

#include "libblktap/base/unique_fd.hpp"
#include "tests/fakexen/shared_world.hpp"

namespace fakexen {

class ChannelHandle {
  public:
    /// Errors: throws std::system_error.
    ChannelHandle(SharedWorld& world, DomainId domain, bool close_on_exec);
    /// Takes over, with its ports, the handle whose descriptor survived an exec. Errors: throws std::system_error,
    /// EINVAL.
    ChannelHandle(SharedWorld& world, DomainId domain, blktap::UniqueFd fd);
    ChannelHandle(const ChannelHandle&) = delete;
    ChannelHandle& operator=(const ChannelHandle&) = delete;
    ~ChannelHandle();

    int fd() const noexcept { return bell_.get(); }

    // As in xenevtchn.h: a port or 0, or -1 with errno. EINVAL: the other side offers us no such port. ENOTCONN: the
    // local port is not one of this handle. EACCES: the handle is restricted to another domain. ENOSPC: no free port.
    int notify(Port port) noexcept;
    int pending() noexcept;
    int unmask(Port port) noexcept;
    int bind_unbound(DomainId remote_domain) noexcept;
    int bind_interdomain(DomainId remote_domain, Port remote_port) noexcept;
    /// A port on which nothing ever happens.
    int bind_virq() noexcept;
    int unbind(Port port) noexcept;
    int restrict_to(DomainId remote_domain) noexcept;

  private:
    bool owns(Port port) const noexcept;
    bool is_forbidden(DomainId remote_domain) const noexcept;
    bool offers(DomainId remote_domain, Port remote_port) const noexcept;
    void ring_for_missed() noexcept;
    int allocate(const WorldLock& lock, DomainId remote_domain) noexcept;

    SharedWorld& world_;
    const DomainId domain_;
    HandleId id_ = 0;
    blktap::UniqueFd bell_;
    std::optional<DomainId> restricted_to_;
};

/// Signals what `port` is connected to, if anything.
void notify_peer(SharedWorld& world, Port port) noexcept;
/// Closes the handles and ports of these processes.
void forget_channels(SharedWorld& world, const WorldLock& lock, const ProcessSet& processes) noexcept;

}  // namespace fakexen
