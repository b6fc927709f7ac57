// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// NamedTap: the tapdisk that Xen's block-tap script made for a disk, as the script named it in the disk's directory.
//
// Tested by tests/unit/tapback/named_tap_test.cpp.
#pragma once

#include <optional>
#include <string>

#include "control/tapback/xenbus/backend_directory.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

struct NamedTap {
    ipc::TapArguments name;
    bool read_only;  ///< the disk's mode

    friend bool operator==(const NamedTap&, const NamedTap&) = default;
};

/// Reads all nodes in one transaction, from the disk's own directory; nullopt: the script is not done, or has written
/// no numbers. Errors: throws std::system_error (xenstored's).
std::optional<NamedTap> read_named_tap(const BackendDirectory& directory);

}  // namespace blktap::tapback
