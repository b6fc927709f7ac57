// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// libxengnttab, mapping side.
#include <cerrno>
#include <vector>

#include "libblktap/xen/xen_libraries.hpp"
#include "tests/fakexen/c_api.hpp"
#include "tests/fakexen/current_world.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/fakexen/grant_handle.hpp"

using fakexen::c_call;

namespace {

int not_supported() noexcept {
    errno = ENOSYS;
    return -1;
}

}  // namespace

FAKEXEN_API xengnttab_handle* xengnttab_open(xentoollog_logger*, unsigned) {
    if (const int error = fakexen::due_failure(fakexen::Call::open_gnttab); error != 0) {
        errno = error;
        return nullptr;
    }
    return c_call([] { return new xengntdev_handle{fakexen::current_world(), fakexen::current_domain()}; }, nullptr);
}

FAKEXEN_API int xengnttab_close(xengnttab_handle* handle) {
    delete handle;
    return 0;
}

FAKEXEN_API int xengnttab_fd(xengnttab_handle* handle) {
    return handle->fd();
}

FAKEXEN_API int xengnttab_set_max_grants(xengnttab_handle*, std::uint32_t) {
    return 0;  // Linux ignores it too.
}

FAKEXEN_API void* xengnttab_map_grant_refs(xengnttab_handle* handle, std::uint32_t count, std::uint32_t* domains,
                                           std::uint32_t* refs, int protection) {
    return c_call([&] { return handle->map({domains, count}, {refs, count}, protection, {}); }, nullptr);
}

FAKEXEN_API void* xengnttab_map_grant_ref(xengnttab_handle* handle, std::uint32_t domain, std::uint32_t ref,
                                          int protection) {
    return xengnttab_map_grant_refs(handle, 1, &domain, &ref, protection);
}

FAKEXEN_API void* xengnttab_map_domain_grant_refs(xengnttab_handle* handle, std::uint32_t count, std::uint32_t domain,
                                                  std::uint32_t* refs, int protection) {
    const auto map = [&] {
        const std::vector<std::uint32_t> domains(count, domain);
        return handle->map(domains, {refs, count}, protection, {});
    };
    return c_call(map, nullptr);
}

FAKEXEN_API void* xengnttab_map_grant_ref_notify(xengnttab_handle* handle, std::uint32_t domain, std::uint32_t ref,
                                                 int protection, std::uint32_t notify_offset,
                                                 evtchn_port_t notify_port) {
    const fakexen::FarewellNotice notice{.offset_bytes = notify_offset, .port = notify_port};
    return c_call([&] { return handle->map({&domain, 1}, {&ref, 1}, protection, notice); }, nullptr);
}

FAKEXEN_API int xengnttab_unmap(xengnttab_handle* handle, void* address, std::uint32_t count) {
    return handle->unmap(address, count);
}

FAKEXEN_API int xengnttab_grant_copy(xengnttab_handle* handle, std::uint32_t count,
                                     xengnttab_grant_copy_segment_t* segments) {
    return handle->copy({segments, count});
}

FAKEXEN_API int xengnttab_dmabuf_exp_from_refs(xengnttab_handle*, std::uint32_t, std::uint32_t, std::uint32_t,
                                               const std::uint32_t*, std::uint32_t*) {
    return not_supported();
}

FAKEXEN_API int xengnttab_dmabuf_exp_wait_released(xengnttab_handle*, std::uint32_t, std::uint32_t) {
    return not_supported();
}

FAKEXEN_API int xengnttab_dmabuf_imp_to_refs(xengnttab_handle*, std::uint32_t, std::uint32_t, std::uint32_t,
                                             std::uint32_t*) {
    return not_supported();
}

FAKEXEN_API int xengnttab_dmabuf_imp_release(xengnttab_handle*, std::uint32_t) {
    return not_supported();
}
