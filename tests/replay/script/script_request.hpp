// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The parser of a script's request lines.
#pragma once

#include "tests/replay/script/script_words.hpp"

namespace blktap::replay {

/// Whether a line that begins with `word` is a request.
bool is_request(std::string_view word);
/// Errors: throws ScriptError.
ScriptRequest parse_request(const ScriptLine& line);

}  // namespace blktap::replay
