// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Sandbox: what a tapdisk gives up before it sees a byte of an image or of a guest. Afterwards it is a user of its own
// without rights, in an empty root, and makes a fixed list of system calls. The steps are a table: each is taken or
// not, and says why not. See docs/decisions/0033.
//
// Tested by tests/unit/tapdisk/sandbox/sandbox_test.cpp, tests/control/sandbox/sandbox_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <system_error>
#include <vector>

#include "tapdisk/sandbox/call_filter.hpp"

namespace blktap::sandbox {

/// `off`: nothing is given up. `debug`: a system call that is not allowed is named in the log before it ends the
/// process.
enum class Mode : std::uint8_t { off, on, debug };

struct Orders {
    Mode mode = Mode::off;
    /// The user and group to become; none: stays who it is.
    std::optional<uid_t> user;
    /// The network namespace to enter, in which there is nothing; -1: a new one.
    int network = -1;
    /// The "cgroup.procs" of the control group to enter; -1: there is none.
    int group = -1;
};

/// A step that was not possible.
struct Missing {
    std::string step;
    std::error_code error;
};

/// Takes all steps, in order; there must be one thread only. Without root's rights some are not permitted: they are
/// returned, and the others taken; so is the control group, which not every host has. Errors: throws
/// std::system_error naming the step: root's process could not take it; this process is in no defined state then, and
/// must end.
std::vector<Missing> enter(const Orders& orders);

/// The user of the tapdisk that is process `host_pid`, as the host numbers it: no two processes have one number at the
/// same time, so no two tapdisks are one user.
constexpr uid_t user_of(uid_t first, pid_t host_pid) noexcept {
    return first + static_cast<uid_t>(host_pid);
}
/// This process as the host numbers it, though in a namespace of its own getpid() is 1. Before enter(). Errors: throws
/// std::system_error.
pid_t host_pid();

/// For people and logs: "on", "debug", "off"; with what is missing.
std::string describe(Mode mode, const std::vector<Missing>& missing);

}  // namespace blktap::sandbox
