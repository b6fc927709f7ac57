// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Which processes run in a simulated machine, whoever started them: tapback's children are not the test's, and outlive
// tapback by design.
//
// Tested by tests/control/host/control_host_test.cpp.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace blktap::control_test {

struct WorldProcess {
    pid_t pid = 0;
    std::string name;  ///< "tapdisk"
};

/// The living processes whose environment names the world in `directory`.
std::vector<WorldProcess> processes_of(const std::string& directory);
/// Whether a process has the file open.
bool has_open(pid_t pid, const std::string& path);
/// SIGKILL for all of them, until there are none.
void end_processes_of(const std::string& directory);

}  // namespace blktap::control_test
