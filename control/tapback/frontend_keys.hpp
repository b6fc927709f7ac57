// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a frontend wrote about its rings, as the arguments of "connect". Everything here is hostile: a number is taken
// only inside its range, and nothing but numbers and two words is taken at all.
//
// Tested by tests/unit/tapback/frontend_keys_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

/// The value of a node below the frontend's directory, or the backend's.
using NodeReader = std::function<std::optional<std::string>(const std::string& name)>;

/// Reads queues, ring pages, event channels, layout and persistence, whichever of blkif's dialects they are in (one
/// page, "ring-page-order", the older "num-ring-pages", several queues).
/// `offers`: of the backend's directory; no more queues and pages are taken than it offers, whoever wrote them there.
/// `default_protocol`: asked where the frontend names no layout.
/// Errors: throws std::system_error (Errc::bad_message) naming the node and what it holds; `read`'s.
ipc::ConnectArguments read_frontend(const NodeReader& read, const NodeReader& offers,
                                    const std::function<std::string()>& default_protocol);

}  // namespace blktap::tapback
