// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the command line can say: the options of all commands, and the function that runs the chosen one.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "tests/replay/copy.hpp"
#include "tests/replay/load.hpp"
#include "tests/replay/recorder.hpp"
#include "tests/replay/script_runner.hpp"
#include "tests/replay/trace_player.hpp"

namespace blktap::replay {

struct CommandOptions {
    Target target;
    double timeout_s = 30;
    double seconds = 0;
    std::string range;

    LoadOptions load;
    std::string mix = "read";
    std::optional<unsigned> read_percent;
    std::optional<std::uint64_t> seed;

    CopyOptions copy;
    std::vector<std::string> scripts;
    TraceOptions trace;
    std::string speed = "recorded";
    RecordOptions record;

    std::function<Exit()> run;  ///< set by the command that was chosen
};

/// Adds every command to `app`. Lifetime: `options` must outlive the parsing and the run.
void add_commands(CLI::App& app, CommandOptions& options);

}  // namespace blktap::replay
