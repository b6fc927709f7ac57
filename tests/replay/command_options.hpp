// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The options of all commands, and the function that runs the chosen command.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

#include "tests/replay/copy.hpp"
#include "tests/replay/load/load.hpp"
#include "tests/replay/script/script_runner.hpp"
#include "tests/replay/trace/recorder.hpp"
#include "tests/replay/trace/trace_player.hpp"

namespace blktap::replay {

struct CommandOptions {
    Target target;
    double timeout_s = 30;
    std::vector<std::string> nodes;
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

// What commands share.
void add_target(CLI::App& command, CommandOptions& options);
void add_range(CLI::App& command, CommandOptions& options);
/// At most some years, so that sums do not overflow.
Nanoseconds nanoseconds(double seconds);
/// Errors: throws std::runtime_error.
std::optional<SectorRange> read_range(const std::string& text);
/// "NAME=VALUE". Errors: throws std::runtime_error.
std::pair<std::string, std::string> read_node(const std::string& text);

void add_load(CLI::App& app, CommandOptions& options);
/// Adds every command to `app`. Lifetime: `options` must outlive the parsing and the run.
void add_commands(CLI::App& app, CommandOptions& options);

}  // namespace blktap::replay
