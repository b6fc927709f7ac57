// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Description of the format "raw", for programs that do not run its driver.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include "drivers/formats/format.hpp"

namespace blktap {

inline constexpr std::string_view raw_options_kept[] = {"buffered"};
inline constexpr Format raw_format{.name = "raw", .tap_type = "aio", .options_kept = raw_options_kept};

}  // namespace blktap
