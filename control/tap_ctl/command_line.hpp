// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl's command line: what it offers is added by one function a group of commands, in the files named after them.
//
// Tested by tests/unit/control/tap_ctl_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "control/client/tapback_client.hpp"

namespace blktap::tap_ctl {

/// What a new image shall be.
struct NewImageOptions {
    std::string cluster_size{};
    std::string backing{};    ///< FORMAT:PATH
    std::string data_file{};  ///< where its data is
    bool raw_data = false;    ///< the data file is a raw image by itself
    bool extended_l2 = false;
    bool fixed = false;
};

/// A tapdisk, as block-tap names it.
struct BlockTapOptions {
    std::string type{};                    ///< of its image
    std::optional<std::uint32_t> pid{};    ///< its process
    std::optional<std::uint32_t> minor{};  ///< its number
};

/// What the command line said. Commands read their own part of it.
struct CommandLine {
    std::string socket = default_tapback_socket();
    bool json = false;
    std::ostream* notes = nullptr;  ///< standard error, for what is no error
    std::string vbd{};              ///< "5/51712", "5/xvda" or "guest/xvda"
    std::string domain{};           ///< number or name
    std::string device{};           ///< "xvdb" or a number
    std::string image{};            ///< FORMAT:/path[?option=value&...]
    std::string file{};             ///< a trace, or what block-tap looks for
    std::string size{};             ///< bytes, or with a unit: 20G
    NewImageOptions new_image{};
    BlockTapOptions block_tap{};
    std::string overlay{};  ///< FORMAT:PATH of a new image over another one
    bool relative = false;  ///< names in images begin where those are
    bool read_only = false;
    bool accept_loss = false;
    bool force = false;
    bool tapdisks = false;   ///< list what serves the disks
    std::string root = "/";  ///< where the host's files are

    /// The command that was chosen; returns the exit status. Errors: throws std::exception with a sentence.
    std::function<int(std::ostream& out)> run{};
};

using Command = int (*)(const CommandLine&, std::ostream& out);
/// A subcommand that runs `command` when it is chosen.
CLI::App& add_command(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command);

/// Prints the result of a request of which people need to know only that it was done: with --json, it; else nothing.
int print_result(const CommandLine& line, std::ostream& out, const ipc::Json& result);

void add_vbd_commands(CLI::App& app, CommandLine& line);    // list, info, stats, pause, resume, resize, record, status
void add_plug_commands(CLI::App& app, CommandLine& line);   // plug, unplug
void add_image_commands(CLI::App& app, CommandLine& line);  // image create, info, check, map
/// To the command "image" itself.
void add_image_change_commands(CLI::App& image, CommandLine& line);  // image snapshot, resize
void add_block_tap_commands(CLI::App& app, CommandLine& line);       // what Xen's block-tap script calls
void add_takeover_commands(CLI::App& app, CommandLine& line);        // takeover enable, disable, status

/// The whole program: exit status 0, 1 (it failed; one line on `err`) or 2 (wrong usage).
int run_tap_ctl(int argument_count, const char* const* arguments, std::ostream& out, std::ostream& err);

}  // namespace blktap::tap_ctl
