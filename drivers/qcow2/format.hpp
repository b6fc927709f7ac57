// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Description of the format "qcow2", for programs that do not run its driver.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include "drivers/formats/format.hpp"

namespace blktap::qcow2 {

inline constexpr std::string_view options_kept[] = {"buffered", "memory-budget", "metadata-cache"};
inline constexpr Format format{.name = "qcow2",
                               .tap_type = "qcow2",
                               .names_other_files = true,
                               .data_file_option = "data-file",
                               .options_kept = options_kept};

}  // namespace blktap::qcow2
