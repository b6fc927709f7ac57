// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What an error becomes on the wire. The one table for it; docs/ARCHITECTURE.md shows it to people.
//
// Tested by tests/unit/ring/wire_status_test.cpp.
#pragma once

#include <system_error>

#include "libblktap/ring/wire.hpp"

namespace blktap::ring {

/// No error is okay. Errc::unsupported_operation and EOPNOTSUPP are not_supported: the frontend then stops using the
/// operation. Everything else is error.
Status wire_status(std::error_code error) noexcept;

}  // namespace blktap::ring
