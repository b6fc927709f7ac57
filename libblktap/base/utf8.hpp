// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A path may hold any bytes, but JSON and terminals need UTF-8. Bytes that are not UTF-8 are shown as \xNN, so that a
// message about a file still names it.
//
// Tested by tests/unit/base/utf8_test.cpp.
#pragma once

#include <string>
#include <string_view>

namespace blktap {

/// Length in bytes of the first character of `text`; 0 when `text` is empty or does not begin with valid UTF-8.
std::size_t utf8_length(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;
/// `byte` as "\xNN".
std::string escaped_byte(char byte);
/// `text` with each byte that is not part of a UTF-8 character as \xNN.
std::string escape_invalid_utf8(std::string_view text);

}  // namespace blktap
