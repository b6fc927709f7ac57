// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProcessId: names one process for as long as the host runs. A pid alone names any process that has the number now. A
// socket's file names any process that listens there, or none once it is removed. Neither names what tapback started.
//
// Tested by tests/unit/tapback/system/process_id_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

struct ProcessId {
    pid_t pid = -1;
    std::uint64_t start_ticks = 0;  ///< since boot: field 22 of /proc/PID/stat

    friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

/// The process that has this pid now; nullopt: none. Errors: throws std::system_error (EMFILE, ...).
std::optional<ProcessId> identify(pid_t pid);

/// A pidfd of this very process; nullopt: it has ended. Errors: throws std::system_error (EMFILE, ...): not known
/// whether it lives.
std::optional<UniqueFd> open_process(const ProcessId& process);

/// Whether tapback started the process as the tapdisk of this socket: its arguments end as only tapback ends them. For
/// a process without a record. This function and the next may wait for a process that hangs: call them only in a
/// storage process.
bool was_started_for(pid_t pid, const std::string& socket_path);
/// The living process for which was_started_for() holds. Reads /proc of every process of the host: call it rarely.
std::optional<pid_t> find_started_for(const std::string& socket_path);

}  // namespace blktap::tapback
