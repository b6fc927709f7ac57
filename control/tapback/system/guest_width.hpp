// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Facts about a domain that only the hypervisor knows. Through libxenctrl, whose interface changes with each release of
// Xen, and which is therefore optional: without it the answers are the safe ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap::tapback {

/// Returns the ring layout of a frontend that names none: by its domain's word width, or if that is unknown that of
/// 32-bit guests, as Linux assumes.
std::string guest_protocol(std::uint16_t domain) noexcept;

/// Whether the domain exists; nullopt: unknown.
std::optional<bool> domain_exists(std::uint16_t domain) noexcept;

}  // namespace blktap::tapback
