// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SHA-256 (FIPS 180-4) of a file's contents, to tell whether a script is still the one that was recorded.
//
// Tested by tests/unit/control/sha256_test.cpp.
#pragma once

#include <string>
#include <string_view>

namespace blktap::tap_ctl {

/// 64 hexadecimal digits, as sha256sum(1) prints them.
std::string sha256(std::string_view data);

}  // namespace blktap::tap_ctl
