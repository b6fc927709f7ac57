// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Names of VBDs on tap-ctl's command line: "5/51712", "5/xvda", or with the domain's name, "guest/xvda".
//
// Tested by tests/unit/control/vbd_name_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {

/// Finds the domains with a name; called only for a domain that is not named by its number.
using FindDomains = std::function<std::vector<std::uint16_t>(const std::string& name)>;

/// The domains that have this name in xenstore. Errors: throws std::system_error.
std::vector<std::uint16_t> domains_named(const std::string& name);

/// Reads "5" or a name. Errors of all these: throw std::system_error (EINVAL, ENOENT) with a sentence.
std::uint16_t read_domain(const std::string& text, const FindDomains& find);
/// Reads "xvda", "51712" or "0xca00".
std::uint32_t read_device(const std::string& text);
/// Reads DOMAIN/DEVICE; the name of a domain may contain a '/'.
ipc::VbdArguments read_vbd(const std::string& text, const FindDomains& find);

}  // namespace blktap::tap_ctl
