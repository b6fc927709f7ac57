// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The statements before a script's requests: the rings that it wants, and the disk that it needs.
#pragma once

#include "libblktap/ipc/messages.hpp"
#include "tests/replay/script/script_words.hpp"

namespace blktap::replay {

// Parsers of one line each. Errors: throw ScriptError.
void parse_ring(const ScriptLine& line, ScriptRing& ring);
void parse_protocols(const ScriptLine& line, ScriptRing& ring);
void parse_requirements(const ScriptLine& line, std::vector<ScriptRequirement>& requirements);

/// Errors: throws std::runtime_error "FILE:LINE: requires X, the disk has Y".
void check_requirements(const Script& script, const ipc::DeviceDescription& device);

}  // namespace blktap::replay
