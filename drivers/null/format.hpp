// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Description of the format "null", for programs that do not run its driver.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include "drivers/formats/format.hpp"

namespace blktap {

inline constexpr Format null_format{.name = "null", .tap_type = "null"};

}  // namespace blktap
