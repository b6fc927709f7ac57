// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Small files that are read and written as a whole: scripts and records.
//
// Tested by tests/unit/base/small_file_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

namespace blktap {

/// Returns the contents; nullopt: there is no such file. Errors, also of write_small_file(): throws std::system_error
/// naming the file; EFBIG beyond 1 MiB.
std::optional<std::string> read_small_file(const std::string& path);

/// What a written file must survive: the death of its writer, or a loss of power as well.
enum class Outlives : std::uint8_t { process, power };

/// Replaces the file in one step: readers, also after a crash, find the old contents or the new. The file has `mode`
/// whatever the umask. After an error the old file is unchanged and no temporary file is left.
void write_small_file(const std::string& path, const std::string& contents, mode_t mode,
                      Outlives outlives = Outlives::power);
/// Suffix of the temporary file that holds the new contents until they are complete. A writer that was killed leaves
/// such a file behind.
inline constexpr const char* small_file_suffix = ".tapdisk-new";

}  // namespace blktap
