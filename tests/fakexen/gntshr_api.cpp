// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// libxengnttab, sharing side.
#include "libblktap/xen/xen_libraries.hpp"
#include "tests/fakexen/c_api.hpp"
#include "tests/fakexen/current_world.hpp"
#include "tests/fakexen/grant_handle.hpp"

using fakexen::c_call;

FAKEXEN_API xengntshr_handle* xengntshr_open(xentoollog_logger*, unsigned) {
    return c_call([] { return new xengntdev_handle{fakexen::current_world(), fakexen::current_domain()}; }, nullptr);
}

FAKEXEN_API int xengntshr_close(xengntshr_handle* handle) {
    delete handle;
    return 0;
}

FAKEXEN_API int xengntshr_fd(xengntshr_handle* handle) {
    return handle->fd();
}

FAKEXEN_API void* xengntshr_share_pages(xengntshr_handle* handle, std::uint32_t domain, int count, std::uint32_t* refs,
                                        int writable) {
    const auto page_count = static_cast<std::size_t>(count > 0 ? count : 0);
    const auto grantee = static_cast<fakexen::DomainId>(domain);
    return c_call([&] { return handle->share(grantee, {refs, page_count}, writable != 0, {}); }, nullptr);
}

FAKEXEN_API void* xengntshr_share_page_notify(xengntshr_handle* handle, std::uint32_t domain, std::uint32_t* ref,
                                              int writable, std::uint32_t notify_offset, evtchn_port_t notify_port) {
    const fakexen::FarewellNotice notice{.offset_bytes = notify_offset, .port = notify_port};
    const auto grantee = static_cast<fakexen::DomainId>(domain);
    return c_call([&] { return handle->share(grantee, {ref, 1}, writable != 0, notice); }, nullptr);
}

FAKEXEN_API int xengntshr_unshare(xengntshr_handle* handle, void* address, std::uint32_t count) {
    return handle->unshare(address, count);
}
