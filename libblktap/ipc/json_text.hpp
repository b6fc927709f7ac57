// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// JSON as text, for values that quote what somebody else wrote: a name in an image, a path. JSON is UTF-8 and such a
// name need not be.
//
// Tested by tests/unit/ipc/channel_test.cpp.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace blktap::ipc {

/// `json` as text, as nlohmann::json::dump() makes it. What is not UTF-8 in its strings and keys is written
/// as \xNN. For people: nobody can tell it from a name that has these characters.
std::string to_text(const nlohmann::json& json, int indent = -1);

/// The first string in `json` that is not UTF-8.
std::optional<std::string> find_invalid_text(const nlohmann::json& json);

}  // namespace blktap::ipc
