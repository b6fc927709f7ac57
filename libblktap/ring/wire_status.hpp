// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The only table that maps errors to statuses on the wire; docs/ARCHITECTURE.md shows it to people.
//
// Tested by tests/unit/ring/wire_status_test.cpp.
#pragma once

#include <system_error>

#include "libblktap/ring/wire.hpp"

namespace blktap::ring {

/// Returns okay for no error; not_supported, after which the frontend stops using the operation, for
/// Errc::unsupported_operation and EOPNOTSUPP; error for everything else.
Status wire_status(std::error_code error) noexcept;

}  // namespace blktap::ring
