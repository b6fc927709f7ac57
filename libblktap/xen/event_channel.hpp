// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Owners over libxenevtchn: a handle on /dev/xen/evtchn, and one bound event channel. Only the library's calls are
// used, never /dev/xen directly, so that a library loaded in its place can stand in for a hypervisor.
//
// Tested by tests/unit/xen/event_channel_test.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "libblktap/xen/xen_libraries.hpp"

namespace blktap::xen {

using DomainId = std::uint16_t;
using Port = std::uint32_t;

/// One handle. Not to be shared by threads (xenevtchn.h). All its channels signal one descriptor.
class EventChannelHandle {
  public:
    /// Errors: throws std::system_error, "xenevtchn_open: ..." (/dev/xen/evtchn missing, or no right to it).
    EventChannelHandle();

    /// Readable while a bound channel has an event that pending() has not taken. Non-blocking.
    int fd() const noexcept;
    /// Takes the next channel that has an event; it stays masked until unmask(). nullopt: none.
    std::optional<Port> pending() noexcept;
    /// From now on channels to `domain` only: whoever takes this process over reaches no other domain by this handle.
    /// Errors: EACCES: restricted already; ENOTTY: a kernel without this.
    std::error_code restrict_to(DomainId domain) noexcept;
    /// Lets `port` fire again; an event that came in between fires at once.
    void unmask(Port port) noexcept;
    xenevtchn_handle* get() const noexcept { return handle_.get(); }

  private:
    struct Close {
        void operator()(xenevtchn_handle* handle) const noexcept { xenevtchn_close(handle); }
    };
    std::unique_ptr<xenevtchn_handle, Close> handle_;
};

/// One channel of a handle, closed on destruction. The handle outlives it.
class EventChannel {
  public:
    /// Binds to `remote_port` that `domain` offers to us. Binding raises one event, so that nothing sent before is
    /// missed. Errors: throws std::system_error naming domain and port.
    static EventChannel bind_interdomain(EventChannelHandle& handle, DomainId domain, Port remote_port);
    /// Makes a port that `domain` may bind to. Errors: throws std::system_error.
    static EventChannel bind_unbound(EventChannelHandle& handle, DomainId domain);

    EventChannel(EventChannel&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), port_(other.port_) {}
    EventChannel& operator=(EventChannel&& other) noexcept;
    ~EventChannel();

    Port port() const noexcept { return port_; }
    /// Wakes the other side. Returns false if it is gone; that is no error, because the end of its domain is reported
    /// elsewhere.
    bool notify() noexcept;

  private:
    EventChannel(EventChannelHandle& handle, Port port) noexcept : handle_(&handle), port_(port) {}
    EventChannelHandle* handle_;
    Port port_;
};

}  // namespace blktap::xen
