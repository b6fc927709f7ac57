// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/json_text.hpp"

#include "libblktap/base/utf8.hpp"

namespace blktap::ipc {
namespace {

using Json = nlohmann::json;

Json escaped(const Json& json) {
    if (json.is_string()) return escape_invalid_utf8(json.get_ref<const std::string&>());
    if (!json.is_structured()) return json;
    Json result = json.is_object() ? Json::object() : Json::array();
    for (const auto& [key, value] : json.items()) {
        if (json.is_object()) {
            result[escape_invalid_utf8(key)] = escaped(value);
        } else {
            result.push_back(escaped(value));
        }
    }
    return result;
}

}  // namespace

std::string to_text(const Json& json, int indent) {
    return find_invalid_text(json) ? escaped(json).dump(indent) : json.dump(indent);
}

std::optional<std::string> find_invalid_text(const Json& json) {
    if (json.is_string() && !is_utf8(json.get_ref<const std::string&>())) return json.get<std::string>();
    if (!json.is_structured()) return std::nullopt;
    for (const auto& [key, value] : json.items()) {
        if (json.is_object() && !is_utf8(key)) return key;
        if (const auto found = find_invalid_text(value)) return found;
    }
    return std::nullopt;
}

}  // namespace blktap::ipc
