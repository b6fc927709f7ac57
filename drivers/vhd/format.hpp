// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Description of the format "vhd", for programs that do not run its driver.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include "drivers/formats/format.hpp"

namespace blktap::vhd {

inline constexpr std::string_view options_kept[] = {"buffered", "memory-budget", "metadata-cache"};
inline constexpr Format format{
    .name = "vhd", .tap_type = "vhd", .names_other_files = true, .options_kept = options_kept};

}  // namespace blktap::vhd
