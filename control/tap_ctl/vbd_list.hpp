// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// All VBDs of tapback, whose replies hold only so many.
//
// Tested by tests/unit/control/tap_ctl_test.cpp.
#pragma once

#include <vector>

#include "control/client/tapback_client.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap {

/// Errors: throws std::system_error, as TapbackClient::call().
std::vector<ipc::VbdEntry> list_vbds(TapbackClient& tapback);

}  // namespace blktap
