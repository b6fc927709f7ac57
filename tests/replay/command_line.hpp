// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ring-replay's command line: parses it, runs the command, and turns every error into one line on stderr.
//
// Tested by tests/unit/replay/command_line_test.cpp.
#pragma once

#include "tests/replay/failure.hpp"

namespace blktap::replay {

Exit run_command_line(int argc, const char* const* argv);

}  // namespace blktap::replay
