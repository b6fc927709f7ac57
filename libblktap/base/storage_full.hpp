// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Which errors say that the storage is full: a file system without space, or a quota that is used up.
//
// Tested by tests/unit/tapdisk/disk/full_disk_test.cpp.
#pragma once

#include <cerrno>
#include <system_error>

namespace blktap {

/// ENOSPC or EDQUOT: the same request may succeed later, when space was freed.
inline bool storage_full(std::error_code error) noexcept {
    return error == std::errc::no_space_on_device || error == std::error_code{EDQUOT, std::system_category()};
}

}  // namespace blktap
