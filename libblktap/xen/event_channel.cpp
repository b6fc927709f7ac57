// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/event_channel.hpp"

#include <fcntl.h>
#include <string>

#include "libblktap/base/error.hpp"

namespace blktap::xen {
namespace {

void make_non_blocking(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) throw_system_error("event channel descriptor");
}

void unbind(EventChannelHandle* handle, Port port) noexcept {
    if (handle != nullptr) xenevtchn_unbind(handle->get(), port);
}

}  // namespace

EventChannelHandle::EventChannelHandle() : handle_(xenevtchn_open(nullptr, 0)) {
    if (handle_ == nullptr) throw_system_error("xenevtchn_open");
    make_non_blocking(fd());
}

int EventChannelHandle::fd() const noexcept {
    return xenevtchn_fd(handle_.get());
}

std::optional<Port> EventChannelHandle::pending() noexcept {
    const xenevtchn_port_or_error_t port = xenevtchn_pending(handle_.get());
    if (port < 0) return std::nullopt;
    return static_cast<Port>(port);
}

void EventChannelHandle::unmask(Port port) noexcept {
    xenevtchn_unmask(handle_.get(), port);
}

std::error_code EventChannelHandle::restrict_to(DomainId domain) noexcept {
    return xenevtchn_restrict(handle_.get(), domain) == 0 ? std::error_code{} : last_system_error();
}

EventChannel EventChannel::bind_interdomain(EventChannelHandle& handle, DomainId domain, Port remote_port) {
    const xenevtchn_port_or_error_t port = xenevtchn_bind_interdomain(handle.get(), domain, remote_port);
    if (port < 0) {
        throw_system_error("event channel to port " + std::to_string(remote_port) + " of domain " +
                           std::to_string(domain));
    }
    return {handle, static_cast<Port>(port)};
}

EventChannel EventChannel::bind_unbound(EventChannelHandle& handle, DomainId domain) {
    const xenevtchn_port_or_error_t port = xenevtchn_bind_unbound_port(handle.get(), domain);
    if (port < 0) throw_system_error("event channel for domain " + std::to_string(domain));
    return {handle, static_cast<Port>(port)};
}

EventChannel& EventChannel::operator=(EventChannel&& other) noexcept {
    if (this != &other) {
        unbind(handle_, port_);
        handle_ = std::exchange(other.handle_, nullptr);
        port_ = other.port_;
    }
    return *this;
}

EventChannel::~EventChannel() {
    unbind(handle_, port_);
}

bool EventChannel::notify() noexcept {
    return xenevtchn_notify(handle_->get(), port_) == 0;
}

}  // namespace blktap::xen
