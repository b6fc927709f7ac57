// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the tests of a disk's states share.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/thrown.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

namespace blktap::testing {

/// This process has the file at `path` open.
inline bool is_open(const std::string& path) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        if (std::filesystem::read_symlink(entry, ignored) == path) return true;
    }
    return false;
}

/// A raw image without O_DIRECT, which the simulated kernel serves from anywhere.
inline ImageSpec buffered(const std::string& path, Access access = Access::read_write) {
    return parse_image_spec("raw:" + path + "?buffered=yes", access);
}

/// `code` throws because the operation makes no sense now.
template <class Code>
bool is_wrong_state(Code code) {
    return thrown(code).code() == Errc::wrong_state;
}

/// For an operation whose end nobody waits for.
inline const Vbd::Done nobody = [](std::error_code) {};

}  // namespace blktap::testing
