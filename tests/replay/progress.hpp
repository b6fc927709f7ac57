// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The line that a terminal shows while a command runs.
#pragma once

#include <functional>

#include "tests/replay/load/statistics.hpp"

namespace blktap::replay {

/// Rewrites one line of stderr; an empty function when stderr is not a terminal.
std::function<void(const Statistics&)> progress_line();

}  // namespace blktap::replay
