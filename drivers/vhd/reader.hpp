// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Reading a piece of the disk that lies in several places, or whose bitmaps must be read first.
//
// Tested by tests/unit/vhd/vhd_driver_test.cpp.
#pragma once

#include "drivers/vhd/core.hpp"

namespace blktap::vhd {

/// Reads [task.at, task.end) into task.window, then calls task.finished. Errors through it: Errc::image_invalid
/// (a damaged table), those of the I/O. Context: loop thread.
void read_disk(Task& task) noexcept;

}  // namespace blktap::vhd
