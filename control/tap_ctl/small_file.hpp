// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Files that are read and written whole: scripts and records.
//
// Tested by tests/unit/control/small_file_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

namespace blktap {

/// nullopt: there is none. Errors, of both: throws std::system_error naming the file; EFBIG beyond 1 MiB.
std::optional<std::string> read_small_file(const std::string& path);

/// Replaces the file in one step, durably: a crash leaves the old contents or the new. `mode` whatever the umask.
void write_small_file(const std::string& path, const std::string& contents, mode_t mode);

}  // namespace blktap
