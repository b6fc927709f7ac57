// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The control protocol's names of errors. Numbers would tie both sides to one version of Errc and one architecture's
// errno. docs/control-protocol.md has the table.
//
// Tested by tests/unit/ipc/error_names_test.cpp.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace blktap::ipc {

/// The protocol's name for an error: "wrong-state", "read-only", ..., or "system:ENOENT" for an errno.
std::string error_code_name(std::error_code code);

/// Returns the error of this name; Errc::bad_message for a name that this version does not know.
std::error_code error_code_named(std::string_view name) noexcept;

}  // namespace blktap::ipc
