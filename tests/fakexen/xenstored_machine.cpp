// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The machine that xenstored believes in: preloaded under Debian's own C xenstored, this lets it start without a
// hypervisor and serve its UNIX socket. Every domain exists and runs, none ever uses its ring to xenstored, and no
// event comes: what domains there are is what a test introduces and releases through the socket.
//
// Not the simulated machine of the other files: xenstored takes no part in it.
//
// Tested by tests/unit/xenstore/xen_store_test.cpp.
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

extern "C" {
#include <xenctrl.h>
}

#include "libblktap/base/units.hpp"
#include "libblktap/xen/xen_libraries.hpp"
#include "tests/fakexen/c_api.hpp"

namespace {

using blktap::page_size_bytes;

// xenstored hands these back and looks into none of them.
xc_interface* const hypervisor = reinterpret_cast<xc_interface*>(page_size_bytes);
xenevtchn_handle* const events = reinterpret_cast<xenevtchn_handle*>(2 * page_size_bytes);
xengnttab_handle* const grants = reinterpret_cast<xengnttab_handle*>(3 * page_size_bytes);

constexpr evtchn_port_t dom0_port = 1;
evtchn_port_t last_port = dom0_port;

/// Never readable: no domain ever signals anything.
int silent_fd() noexcept {
    static const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd;
}

/// What the kernel of dom0 has for xenstored: the page and the port of its own ring. nullopt: another file.
std::optional<int> open_kernel_file(std::string_view path) noexcept {
    if (path == "/proc/xen/xsd_kva") {
        const int page = ::memfd_create("xsd_kva", MFD_CLOEXEC);
        return ::ftruncate(page, page_size_bytes) == 0 ? page : -1;
    }
    if (path == "/proc/xen/xsd_port") {
        static_assert(dom0_port == 1);
        const int port = ::memfd_create("xsd_port", MFD_CLOEXEC);
        return ::pwrite(port, "1", 1, 0) == 1 ? port : -1;
    }
    return std::nullopt;
}

}  // namespace

FAKEXEN_API int open(const char* path, int flags, ...) {
    unsigned mode = 0;
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
        std::va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, unsigned);
        va_end(arguments);
    }
    if (const auto fd = open_kernel_file(path)) return *fd;
    using Open = int (*)(const char*, int, ...);
    static const Open real = reinterpret_cast<Open>(::dlsym(RTLD_NEXT, "open"));
    return real(path, flags, mode);
}

FAKEXEN_API xc_interface* xc_interface_open(xentoollog_logger*, xentoollog_logger*, unsigned) {
    return hypervisor;
}

FAKEXEN_API int xc_interface_close(xc_interface*) {
    return 0;
}

#ifdef BLKTAP_XENCTRL_GETINFO_SINGLE
FAKEXEN_API int xc_domain_getinfo_single(xc_interface*, std::uint32_t domain, xc_domaininfo_t* info) {
    std::memset(info, 0, sizeof(*info));
    info->domain = static_cast<domid_t>(domain);
    info->flags = XEN_DOMINF_running;
    return 0;
}
#else
FAKEXEN_API int xc_domain_getinfo(xc_interface*, std::uint32_t first, unsigned count, xc_dominfo_t* info) {
    if (count == 0) return 0;
    std::memset(info, 0, sizeof(*info));
    info->domid = first;
    info->running = 1;
    return 1;
}
#endif

FAKEXEN_API xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned) {
    return silent_fd() < 0 ? nullptr : events;
}

FAKEXEN_API int xenevtchn_fd(xenevtchn_handle*) {
    return silent_fd();
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle*, unsigned) {
    return static_cast<xenevtchn_port_or_error_t>(++last_port);
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle*, std::uint32_t, evtchn_port_t) {
    return static_cast<xenevtchn_port_or_error_t>(++last_port);
}

FAKEXEN_API int xenevtchn_unbind(xenevtchn_handle*, evtchn_port_t) {
    return 0;
}

FAKEXEN_API int xenevtchn_notify(xenevtchn_handle*, evtchn_port_t) {
    return 0;
}

FAKEXEN_API xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle*) {
    errno = EAGAIN;
    return -1;
}

FAKEXEN_API int xenevtchn_unmask(xenevtchn_handle*, evtchn_port_t) {
    return 0;
}

FAKEXEN_API xengnttab_handle* xengnttab_open(xentoollog_logger*, unsigned) {
    return grants;
}

FAKEXEN_API int xengnttab_close(xengnttab_handle*) {
    return 0;
}

FAKEXEN_API int xengnttab_set_max_grants(xengnttab_handle*, std::uint32_t) {
    return 0;
}

/// A ring of a new domain to xenstored: a page of zeros is one with nothing in it.
FAKEXEN_API void* xengnttab_map_grant_ref(xengnttab_handle*, std::uint32_t, std::uint32_t, int) {
    void* const page = ::mmap(nullptr, page_size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? nullptr : page;
}

FAKEXEN_API int xengnttab_unmap(xengnttab_handle*, void* page, std::uint32_t count) {
    return ::munmap(page, count * page_size_bytes);
}
