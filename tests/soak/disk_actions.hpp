// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What is done to a disk in use.
#pragma once

#include "tests/soak/disk_state.hpp"

namespace blktap::soak {

/// False: this disk cannot have it, or not now. Errors: throws Wrong.
bool act(DiskState& disk, Action action);

/// After the death of its tapdisk, process `dead` (0: not known), which served no guest of a domain. Errors: throws
/// Wrong.
void have_served_again(DiskState& disk, std::uint32_t dead);

/// Kills the tapdisk of a disk without a guest, and has it served again. Errors: throws Wrong.
void kill_idle_tapdisk(DiskState& disk);

}  // namespace blktap::soak
