// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The options of tapback: from its command line, then from its configuration file, then by default.
//
// Tested by tests/unit/tapback/options_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/defaults.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {

/// That of tapdisks.service, which systemd makes for tapback and leaves alone.
inline constexpr const char* default_control_group = "/sys/fs/cgroup/system.slice/tapdisks.service";

struct Options {
    std::string run_directory = "/run/tapdisk";      ///< absolute; sockets, state and recovery logs
    std::string tapdisk{};                           ///< the program, absolute and executable
    std::vector<std::string> image_directories{};    ///< absolute, at least one
    std::vector<std::string> backing_directories{};  ///< absolute
    std::string problem_hook{};                      ///< absolute; run when a disk's storage has a problem; or empty
    log::Level level = log::Level::info;             ///< of tapback, and of each tapdisk
    log::Sink sink = log::Sink::standard_error;
    enum class Sandbox : std::uint8_t { on, debug, off } sandbox = Sandbox::on;  ///< of each tapdisk
    std::string control_group =
        default_control_group;  ///< absolute; those of tapdisks are in it; empty: they have none
    unsigned poll_us = default_poll_us;
    unsigned aio_slots = IoQueue::default_slots;
    unsigned deaths_max = 3;  ///< of a disk's tapdisks within a minute; 0: no limit
    std::uint64_t memory_budget_bytes = default_memory_budget_bytes;
};

/// Reads the command line and the configuration file. Returns nullopt if the process should end with `exit_status`:
/// after help, version, or a mistake that was explained on stderr, in one line. `default_config`: read if --config
/// names no file, and may be absent; nullptr: the installed one.
std::optional<Options> parse_options(int argument_count, const char* const* arguments, int& exit_status,
                                     const char* default_config = nullptr);

/// Returns the part of a tapdisk's command line that follows from these options: program, logging, polling, queues,
/// sandbox.
std::vector<std::string> tapdisk_command(const Options& options);
/// "on", "debug", "off": as the configuration file has it.
std::string sandbox_name(Options::Sandbox sandbox);

}  // namespace blktap::tapback
