// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Processes that tapback starts: tapdisks, the starter of storage processes, and the operator's hook. Each has its own
// session, no blocked or ignored signal, and only the descriptors that are named.
//
// Tested by tests/unit/tapback/vbd/problem_hook_test.cpp and tests/control.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

struct ChildProcess {
    pid_t pid = -1;
    UniqueFd pidfd;  ///< readable when it has ended

    /// Returns how the process ended, for people: "exited with status 0", "killed by signal 9 (Killed)"; "ended" if it
    /// was not a child of this process.
    std::string reap() const;
    /// Kills a child that is just being started, and waits for its end.
    void kill() const noexcept;
};

/// `own_namespace`: the child is the first process of a new process namespace. SIGTERM is blocked in it, since the
/// kernel drops a signal that such a process does not handle yet.
enum class Place : bool { with_us, own_namespace };

/// Starts `command`, its program first, with the descriptors `kept`. `program`: the file to run, if the
/// command's first word is only a name. Errors: throws std::system_error naming the program (ENOENT, EACCES, EMFILE,
/// ...).
ChildProcess spawn_child(const std::vector<std::string>& command, const std::vector<int>& kept = {},
                         const std::string& program = {}, Place place = Place::with_us);

/// Errors: throws std::system_error.
UniqueFd open_pidfd(pid_t pid);

}  // namespace blktap::tapback
