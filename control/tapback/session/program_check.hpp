// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A question to the installed tapdisk program, which answers by its exit status.
//
// Tested by tests/unit/tapback/session/tapdisk_process_test.cpp and tests/control.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/tapback/session/tapdisk_handle.hpp"
#include "libblktap/base/event_loop.hpp"

namespace blktap::tapback {

/// Runs `command`; `done` is called later. Errors: throws std::system_error: it cannot be run.
std::unique_ptr<ProgramCheck> ask_program(EventLoop& loop, const std::vector<std::string>& command,
                                          ProgramCheck::Done done);

}  // namespace blktap::tapback
