// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Which boot of this host it is. What refers to processes, or to memory of a tmpfs, means nothing after the next one.
//
// Tested by tests/unit/base/boot_id_test.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace blktap {

using BootId = std::array<std::uint8_t, 16>;

/// Returns the id of this boot. It is read at the first call and kept: a process that may open no files later calls
/// this before. Errors: throws std::system_error.
const BootId& boot_id();
/// Parses the text of /proc/sys/kernel/random/boot_id. Errors: throws std::system_error, EIO.
BootId parse_boot_id(std::string_view text);

}  // namespace blktap
