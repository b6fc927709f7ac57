// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Files that are read and written whole: scripts and records.
//
// Tested by tests/unit/base/small_file_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

namespace blktap {

/// nullopt: there is none. Errors, of both: throws std::system_error naming the file; EFBIG beyond 1 MiB.
std::optional<std::string> read_small_file(const std::string& path);

/// What a file that is written must outlive: its writer, or a loss of power as well.
enum class Outlives : std::uint8_t { process, power };

/// Replaces the file in one step: a reader, and whoever comes after a crash, finds the old contents or the new. `mode`
/// whatever the umask. Where it fails nothing is left beside the old file.
void write_small_file(const std::string& path, const std::string& contents, mode_t mode,
                      Outlives outlives = Outlives::power);
/// The new contents have the file's name and this until they are whole. A writer that was killed leaves such a file.
inline constexpr const char* small_file_suffix = ".tapdisk-new";

}  // namespace blktap
