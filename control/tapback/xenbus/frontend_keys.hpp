// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Parses a frontend's nodes about its rings into the arguments of "connect". Every value is hostile: a number is
// accepted only inside its range, and only numbers and two words are accepted.
//
// Tested by tests/unit/tapback/xenbus/frontend_keys_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

/// Returns the value of a node below the frontend's directory, or the backend's.
using NodeReader = std::function<std::optional<std::string>(const std::string& name)>;

/// Reads queues, ring pages, event channels, layout and persistence, whichever of blkif's dialects they are in (one
/// page, "ring-page-order", the older "num-ring-pages", several queues).
/// `offers` reads the backend's directory, whose offers limit queues and pages, whoever wrote them.
/// `default_protocol` is called if the frontend names no layout.
/// Errors: throws std::system_error (Errc::bad_message) naming the node and its value; those of `read`.
ipc::ConnectArguments read_frontend(const NodeReader& read, const NodeReader& offers,
                                    const std::function<std::string()>& default_protocol);

}  // namespace blktap::tapback
