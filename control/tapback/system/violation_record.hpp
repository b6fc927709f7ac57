// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Which system call a process made that its sandbox forbids: the kernel's audit record has its number.
//
// Tested by tests/unit/tapback/system/violation_record_test.cpp, tests/control/sandbox/sandbox_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace blktap::tapback {

/// Returns the number of the system call if `record`, a line of the kernel's log, says that process `pid` made one that
/// a filter forbids.
std::optional<long> forbidden_call(std::string_view record, pid_t pid);
/// Looks in the kernel's log for the last such record. nullopt: there is none, for example because auditd takes them,
/// or the log may not be read.
std::optional<long> find_forbidden_call(pid_t pid);
/// For people: what is known about a process that ended with SIGSYS.
std::string describe_violation(pid_t pid);

}  // namespace blktap::tapback
