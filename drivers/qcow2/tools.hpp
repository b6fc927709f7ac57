// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Tools for qcow2 images that no disk uses.
//
// Tested by tests/unit/drivers/tools_test.cpp and tests/unit/control/image_commands_test.cpp.
#pragma once

#include "drivers/formats/tools.hpp"

namespace blktap::qcow2 {

extern const FormatTools tools;

}  // namespace blktap::qcow2
