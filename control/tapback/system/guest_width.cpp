// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/guest_width.hpp"

#include <cerrno>
#include <memory>

#ifdef BLKTAP_HAVE_XENCTRL
extern "C" {
#include <xenctrl.h>
}
#endif

namespace blktap::tapback {

#ifdef BLKTAP_HAVE_XENCTRL
namespace {

struct Close {
    void operator()(xc_interface* handle) const noexcept { xc_interface_close(handle); }
};

std::unique_ptr<xc_interface, Close> open_interface() noexcept {
    return std::unique_ptr<xc_interface, Close>(xc_interface_open(nullptr, nullptr, 0));
}

}  // namespace

std::string guest_protocol(std::uint16_t domain) noexcept {
    unsigned width_bytes = 0;
    const auto handle = open_interface();
    const bool known = handle && xc_domain_get_guest_width(handle.get(), domain, &width_bytes) == 0;
    return known && width_bytes == 8 ? "x86_64-abi" : "x86_32-abi";
}

std::optional<bool> domain_exists(std::uint16_t domain) noexcept {
    const auto handle = open_interface();
    if (!handle) return std::nullopt;
#ifdef BLKTAP_XENCTRL_GETINFO_SINGLE
    // The older call does not exist from Xen 4.18 on.
    xc_domaininfo_t info{};
    if (xc_domain_getinfo_single(handle.get(), domain, &info) == 0) return (info.flags & XEN_DOMINF_dying) == 0;
    return errno == ESRCH ? std::optional(false) : std::nullopt;
#else
    xc_dominfo_t info{};
    const int found = xc_domain_getinfo(handle.get(), domain, 1, &info);
    if (found < 0) return std::nullopt;
    return found == 1 && info.domid == domain && !info.dying;
#endif
}
#else
std::string guest_protocol(std::uint16_t) noexcept {
    return "x86_32-abi";
}

std::optional<bool> domain_exists(std::uint16_t) noexcept {
    return std::nullopt;
}
#endif

}  // namespace blktap::tapback
