// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/vbd_name.hpp"

#include <charconv>
#include <optional>

#include "libblktap/base/error.hpp"
#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::tap_ctl {
namespace {

[[noreturn]] void refuse(std::errc code, const std::string& reason) {
    throw_reason(std::make_error_code(code), reason);
}

std::optional<std::uint16_t> to_domain(std::string_view text) {
    std::uint16_t domain = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), domain);
    if (error != std::errc{} || end != text.data() + text.size() || domain > ipc::domain_max) return std::nullopt;
    return domain;
}

}  // namespace

std::vector<std::uint16_t> domains_named(const std::string& name) {
    const XenStore store;
    std::vector<std::uint16_t> found;
    for (const std::string& entry : store.list("/local/domain")) {
        const auto domain = to_domain(entry);
        if (domain && store.read("/local/domain/" + entry + "/name") == name) found.push_back(*domain);
    }
    return found;
}

std::uint16_t read_domain(const std::string& text, const FindDomains& find) {
    if (text.empty()) refuse(std::errc::invalid_argument, "the domain has no number and no name");
    if (const auto number = to_domain(text)) return *number;
    const auto domains = find(text);
    if (domains.empty()) refuse(std::errc::no_such_file_or_directory, "no domain is called '" + text + "'");
    if (domains.size() > 1) {
        refuse(std::errc::invalid_argument, "several domains are called '" + text + "'; name it by its number");
    }
    return domains.front();
}

std::uint32_t read_device(const std::string& text) {
    const auto device = ipc::device_number(text);
    if (!device)
        refuse(std::errc::invalid_argument, "'" + text + "' is not a device; write xvda, or its number, 51712");
    return *device;
}

ipc::VbdArguments read_vbd(const std::string& text, const FindDomains& find) {
    const std::size_t slash = text.rfind('/');
    if (slash == std::string::npos) {
        refuse(std::errc::invalid_argument, "'" + text + "' is not DOMAIN/DEVICE, for example 5/xvda");
    }
    // The device first: that needs no look into xenstore.
    const std::uint32_t device = read_device(text.substr(slash + 1));
    return {read_domain(text.substr(0, slash), find), device};
}

}  // namespace blktap::tap_ctl
