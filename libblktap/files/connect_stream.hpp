// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connecting to a server of storage, on this host or another.
//
// Tested by tests/unit/files/connect_test.cpp.
#pragma once

#include <string>

#include "libblktap/base/unique_fd.hpp"

namespace blktap {

/// Returns a stream socket that is connected to "unix:PATH" or "HOST:PORT"; an IPv6 address is in brackets. Tries every
/// address of a name. Errors: throws std::system_error naming `address`: EINVAL (neither form), EADDRNOTAVAIL (the name
/// cannot be resolved, perhaps only now), those of connect(2). Context: blocks.
UniqueFd connect_stream(const std::string& address);

}  // namespace blktap
