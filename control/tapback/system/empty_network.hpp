// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A network namespace in which there is nothing, for all tapdisks together. One of its own would cost each of them 190
// KiB of the kernel's memory and half a millisecond.
//
// Tested by tests/unit/tapback/system/pid_namespace_test.cpp, tests/control/sandbox/sandbox_test.cpp.
#pragma once

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

/// Returns a descriptor of a new namespace; an empty one without the rights for it. This process stays in its own.
/// Errors: throws std::system_error.
UniqueFd make_empty_network();

}  // namespace blktap::tapback
