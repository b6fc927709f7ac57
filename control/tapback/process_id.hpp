// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProcessId: names one process for as long as the host runs. A pid alone names whoever has the number now, and a
// socket's file whoever listens there, or nobody when the file was removed: neither says which process tapback started.
//
// Tested by tests/unit/tapback/process_id_test.cpp.
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

/// Who has this number now; nullopt: nobody. Errors: throws std::system_error (EMFILE, ...).
std::optional<ProcessId> identify(pid_t pid);

/// A descriptor of that very process; none: it has ended. Errors: throws std::system_error (EMFILE, ...): whether it
/// lives is not known.
std::optional<UniqueFd> open_process(const ProcessId& process);

/// Whether tapback started the process as the tapdisk of this socket: its arguments end as only tapback's spawning
/// makes them. For a process of which no record says so. Context, of this and the next: may wait for a process that
/// hangs, so only a storage process calls them.
bool was_started_for(pid_t pid, const std::string& socket_path);
/// The living process for which was_started_for() holds. Looks at all of the host's: not often.
std::optional<pid_t> find_started_for(const std::string& socket_path);

}  // namespace blktap::tapback
