// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Sizes that a new image can have, for people: what is wrong with a size, and which sizes are possible.
//
// Tested by tests/unit/qcow2/create_test.cpp and tests/unit/vhd/create_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap {

/// Returns what is wrong with a disk of `size_bytes` in any format: it is empty, or its last sector is not whole.
std::optional<std::string> size_problem(std::uint64_t size_bytes);

/// Returns a number of bytes as an option accepts it: "64K", "8T", or "1536".
std::string size_argument(std::uint64_t bytes);

}  // namespace blktap
