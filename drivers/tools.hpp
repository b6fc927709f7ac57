// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The tools of all formats that have some. Separate from the Registry, because a tapdisk does not need them.
//
// Tested by tests/unit/drivers/tools_test.cpp.
#pragma once

#include "drivers/formats/tools.hpp"

namespace blktap {

/// In the order of the formats' names.
std::span<const FormatTools* const> all_tools() noexcept;
/// Returns the tools of the format of this name; null if it has none.
const FormatTools* find_tools(std::string_view name) noexcept;

}  // namespace blktap
