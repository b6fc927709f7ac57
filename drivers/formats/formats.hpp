// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Descriptions of all formats of this project; no driver is linked with them. A program that also opens images has the
// same formats in its Registry.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include "drivers/formats/format.hpp"

namespace blktap {

/// In the order of their names.
std::span<const Format* const> all_formats() noexcept;
/// Returns the format of this name; null if there is none.
const Format* find_format(std::string_view name) noexcept;
/// Returns the format of an image that is named only by its path, as in libxl's plain disk lines: the file's bytes are
/// the disk's.
const Format& plain_format() noexcept;
/// Returns the format that block-tap calls `type`; null if there is none.
const Format* find_tap_type(std::string_view type) noexcept;

}  // namespace blktap
