// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Reading a piece of the disk that lies in several places, or whose tables must be read first.
//
// Tested by tests/unit/qcow2/qcow2_driver_test.cpp.
#pragma once

#include "drivers/qcow2/core.hpp"

namespace blktap::qcow2 {

/// Reads [task.at, task.end) into task.window, then calls task.finished. Errors through it: Errc::image_invalid
/// (damaged tables or compressed data), those of the I/O. Context: loop thread.
void read_disk(Task& task) noexcept;

}  // namespace blktap::qcow2
