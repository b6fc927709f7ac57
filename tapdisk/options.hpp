// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The command line of tapdisk.
#pragma once

#include <optional>
#include <string>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/defaults.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "tapdisk/sandbox/sandbox.hpp"

namespace blktap {

struct Options {
    std::optional<ImageSpec> image;
    std::string control_path;
    std::optional<std::string> recovery_log_path;
    std::optional<int> client_fd;  ///< a connected control client, from the starter
    std::optional<int> listen_fd;  ///< the control socket, made and removed by the starter; none: tapdisk makes it
    sandbox::Mode sandbox = sandbox::Mode::off;
    uid_t first_user = default_first_user;  ///< of the block from which the sandbox takes its own
    std::optional<int> group_fd;            ///< "cgroup.procs" of a control group for the sandbox
    std::optional<int> network_fd;          ///< a network namespace for the sandbox
    unsigned aio_slots = IoQueue::default_slots;
    unsigned poll_us = default_poll_us;
    std::uint64_t memory_budget_bytes = default_memory_budget_bytes;
    log::Level level = log::Level::info;
    log::Sink sink = log::Sink::standard_error;
};

/// Parses the command line. Returns nullopt if the process should end with `exit_status`: after help, version, or a
/// mistake that was explained on stderr.
std::optional<Options> parse_options(int argument_count, char** arguments, int& exit_status);

}  // namespace blktap
