// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// libxenevtchn.
#include <cerrno>

#include "libblktap/xen/xen_libraries.hpp"
#include "tests/fakexen/c_api.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/current_world.hpp"
#include "tests/fakexen/failures.hpp"

using fakexen::c_call;
using fakexen::DomainId;

struct xenevtchn_handle : fakexen::ChannelHandle {
    using ChannelHandle::ChannelHandle;
};

FAKEXEN_API xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned flags) {
    if (const int error = fakexen::due_failure(fakexen::Call::open_evtchn); error != 0) {
        errno = error;
        return nullptr;
    }
    const bool close_on_exec = (flags & XENEVTCHN_NO_CLOEXEC) == 0;
    const auto open = [&] {
        return new xenevtchn_handle{fakexen::current_world(), fakexen::current_domain(), close_on_exec};
    };
    return c_call(open, nullptr);
}

FAKEXEN_API xenevtchn_handle* xenevtchn_fdopen(xentoollog_logger*, int fd, unsigned) {
    const auto open = [&] {
        return new xenevtchn_handle{fakexen::current_world(), fakexen::current_domain(), blktap::UniqueFd{fd}};
    };
    return c_call(open, nullptr);
}

FAKEXEN_API int xenevtchn_close(xenevtchn_handle* handle) {
    delete handle;
    return 0;
}

FAKEXEN_API int xenevtchn_fd(xenevtchn_handle* handle) {
    return handle->fd();
}

FAKEXEN_API int xenevtchn_notify(xenevtchn_handle* handle, evtchn_port_t port) {
    return handle->notify(port);
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle* handle, std::uint32_t domain) {
    return handle->bind_unbound(static_cast<DomainId>(domain));
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle* handle, std::uint32_t domain,
                                                                 evtchn_port_t remote_port) {
    return handle->bind_interdomain(static_cast<DomainId>(domain), remote_port);
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle* handle, unsigned) {
    return handle->bind_virq();
}

FAKEXEN_API int xenevtchn_unbind(xenevtchn_handle* handle, evtchn_port_t port) {
    return handle->unbind(port);
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle* handle) {
    return handle->pending();
}

FAKEXEN_API int xenevtchn_unmask(xenevtchn_handle* handle, evtchn_port_t port) {
    return handle->unmask(port);
}

FAKEXEN_API int xenevtchn_restrict(xenevtchn_handle* handle, domid_t domain) {
    return handle->restrict_to(domain);
}
