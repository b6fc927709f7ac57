// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// JSON as text, for values that quote foreign bytes: a name in an image, a path. JSON is UTF-8; such a name may not be.
//
// Tested by tests/unit/ipc/channel_test.cpp.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace blktap::ipc {

/// Returns `json` as text, like nlohmann::json::dump(). Bytes of its strings and keys that are not UTF-8 are written as
/// \xNN. For people: a name that contains these characters looks the same.
std::string to_text(const nlohmann::json& json, int indent = -1);

/// Returns the first string in `json` that is not UTF-8.
std::optional<std::string> find_invalid_text(const nlohmann::json& json);

}  // namespace blktap::ipc
