// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl's command line. Each group of commands is added by a function of its own, in the file named after the group.
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

/// The options of a new image.
struct NewImageOptions {
    std::string cluster_size{};
    std::string backing{};    ///< FORMAT:PATH
    std::string data_file{};  ///< the path of its data file
    bool raw_data = false;    ///< the data file is also a raw image by itself
    bool extended_l2 = false;
    bool fixed = false;
};

/// A tapdisk, as block-tap names it.
struct BlockTapOptions {
    std::string type{};                    ///< of its image
    std::optional<std::uint32_t> pid{};    ///< its process
    std::optional<std::uint32_t> minor{};  ///< its number
};

/// The values of all options. Each command reads its own.
struct CommandLine {
    std::string socket = default_tapback_socket();
    bool json = false;
    std::ostream* notes = nullptr;  ///< standard error, for notes that are no errors
    std::string vbd{};              ///< "5/51712", "5/xvda" or "guest/xvda"
    std::string domain{};           ///< number or name
    std::string device{};           ///< "xvdb" or a number
    std::string image{};            ///< FORMAT:/path[?option=value&...]
    std::string file{};             ///< a trace, or the file that block-tap looks for
    std::string size{};             ///< bytes, or with a unit: 20G
    NewImageOptions new_image{};
    BlockTapOptions block_tap{};
    std::string overlay{};  ///< FORMAT:PATH of a new image over another one
    bool relative = false;  ///< an image names its base from its own directory
    bool read_only = false;
    bool accept_loss = false;
    bool force = false;
    bool all = false;        ///< all disks, not one
    bool tapdisks = false;   ///< list the programs that serve the disks
    std::string root = "/";  ///< the root directory of the host's files

    /// The chosen command; returns the exit status. Errors: throws std::exception with a sentence.
    std::function<int(std::ostream& out)> run{};
};

using Command = int (*)(const CommandLine&, std::ostream& out);
/// Adds a subcommand that runs `command` when it is chosen.
CLI::App& add_command(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command);

/// Prints the result with --json; without, nothing: people need to know only that the request succeeded.
int print_result(const CommandLine& line, std::ostream& out, const ipc::Json& result);

void add_vbd_commands(CLI::App& app, CommandLine& line);    // list, info, stats, pause, resume, resize, record, status
void add_plug_commands(CLI::App& app, CommandLine& line);   // plug, unplug
void add_image_commands(CLI::App& app, CommandLine& line);  // image create, info, check, map
/// Adds to the command "image" itself.
void add_image_change_commands(CLI::App& image, CommandLine& line);  // image snapshot, resize
void add_block_tap_commands(CLI::App& app, CommandLine& line);       // the calls of Xen's block-tap script
void add_takeover_commands(CLI::App& app, CommandLine& line);        // takeover enable, disable, status

/// The whole program. Returns the exit status: 0, 1 (failed; one line on `err`) or 2 (wrong usage).
int run_tap_ctl(int argument_count, const char* const* arguments, std::ostream& out, std::ostream& err);

}  // namespace blktap::tap_ctl
