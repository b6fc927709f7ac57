// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk that no record knows: its tapback died between two of its steps, so that it has no image and no guest.
//
// Tested by tests/control/restart_test.cpp.
#pragma once

#include <string>

namespace blktap::tapback {

/// Asks the tapdisk that listens on `socket_path` to end; removes the file where none does.
void end_stray_tapdisk(const std::string& socket_path);

}  // namespace blktap::tapback
