// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A path is any bytes, but JSON and terminals want UTF-8. What is none is shown as \xNN, so that a message about a file
// still says which one.
//
// Tested by tests/unit/base/utf8_test.cpp.
#pragma once

#include <string>
#include <string_view>

namespace blktap {

/// How many bytes the first character of `text` has; 0 when it does not begin with one, or is empty.
std::size_t utf8_length(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;
/// `byte` as "\xNN".
std::string escaped_byte(char byte);
/// `text` with each byte that is not of a character as \xNN. What is UTF-8 stays as it is.
std::string escape_invalid_utf8(std::string_view text);

}  // namespace blktap
