// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The configuration file's lines: "key = value", empty, or a comment that begins with '#'. A value is the text after
// the
// '=' without surrounding spaces; there are no quotes.
//
// Tested by tests/unit/tapback/options_test.cpp.
#pragma once

#include <string>
#include <vector>

namespace blktap::tapback {

struct ConfigLine {
    unsigned number = 0;  ///< the first is 1
    std::string key;
    std::string value;  ///< not empty
};

enum class Absent { is_error, is_empty };

/// Reads `path`. Errors: throws std::system_error with "PATH: reason" if it cannot be read, std::runtime_error with
/// "PATH:LINE: reason" for any other line and for a repeated key.
std::vector<ConfigLine> read_config(const std::string& path, Absent absent);

}  // namespace blktap::tapback
