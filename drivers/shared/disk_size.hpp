// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Sizes that a new image can have, for people: what is wrong with one, and which would do.
//
// Tested by tests/unit/qcow2/create_test.cpp and tests/unit/vhd/create_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap {

/// What is wrong with a disk of `size_bytes` whatever the format: it is empty, or its last sector is not whole.
std::optional<std::string> size_problem(std::uint64_t size_bytes);

/// A number of bytes as it may be given to an option: "64K", "8T", or "1536".
std::string size_argument(std::uint64_t bytes);

}  // namespace blktap
