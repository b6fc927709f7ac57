// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Every format of this project, as data: no driver is linked with it. A program that also opens images has the same
// formats in its Registry.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include "drivers/formats/format.hpp"

namespace blktap {

/// In the order of their names.
std::span<const Format* const> all_formats() noexcept;
/// The format of that name; null: there is none.
const Format* find_format(std::string_view name) noexcept;
/// The format of an image that is named by its path alone, as in libxl's plain disk lines: the file's bytes are the
/// disk's.
const Format& plain_format() noexcept;
/// The format that block-tap calls `type`; null: there is none.
const Format* find_tap_type(std::string_view type) noexcept;

}  // namespace blktap
