// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/fields.hpp"

#include <algorithm>

#include "libblktap/base/error.hpp"

namespace blktap::ipc {
namespace {

/// Cuts text of a peer to the length of a log line.
std::string shortened(std::string_view text) {
    constexpr std::size_t length_max = 64;
    if (text.size() <= length_max) return '"' + std::string(text) + '"';
    return '"' + std::string(text.substr(0, length_max)) + "...\"";
}

std::string entries(std::size_t count) {
    return std::to_string(count) + (count == 1 ? " entry" : " entries");
}

}  // namespace

Fields::Fields(const Json& json, std::string request, std::string path)
    : json_(json), request_(std::move(request)), path_(std::move(path)) {
    if (!json_.is_object()) fail("", "not an object");
}

void Fields::fail(std::string_view key, const std::string& reason) const {
    const std::string path = path_of(key);
    throw_error(Errc::bad_message, request_ + ": " + (path.empty() ? "" : path + ": ") + reason);
}

std::string Fields::path_of(std::string_view key) const {
    if (path_.empty()) return std::string(key);
    return key.empty() ? path_ : path_ + "." + std::string(key);
}

const Fields::Json* Fields::find(const char* key) {
    asked_.emplace_back(key);
    const auto field = json_.find(key);
    return field == json_.end() ? nullptr : &*field;
}

const Fields::Json& Fields::require(const char* key) {
    const Json* field = find(key);
    if (field == nullptr) fail(key, "missing");
    return *field;
}

const Fields::Json& Fields::require_array(const char* key, std::size_t count_max, std::size_t count_min) {
    const Json& field = require(key);
    if (!field.is_array()) fail(key, "not an array");
    if (field.size() < count_min) fail(key, entries(field.size()) + ", at least " + std::to_string(count_min));
    if (field.size() > count_max) fail(key, entries(field.size()) + ", at most " + std::to_string(count_max));
    return field;
}

std::size_t Fields::read_choice(const char* key, std::span<const char* const> words) {
    std::string value;
    convert(key, require(key), value);
    const auto found = std::find(words.begin(), words.end(), value);
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());

    std::string list;
    for (const char* word : words)
        list += (list.empty() ? "" : ", ") + shortened(word);
    fail(key, "not one of " + list);
}

void Fields::convert(std::string_view key, const Json& json, std::map<std::string, std::string>& values) const {
    const Fields strings(json, request_, path_of(key));
    values.clear();
    for (const auto& [name, value] : json.items())
        strings.convert(name, value, values[name]);
}

void Fields::convert(std::string_view key, const Json& json, bool& value) const {
    if (!json.is_boolean()) fail(key, "not true or false");
    value = json.get<bool>();
}

void Fields::convert(std::string_view key, const Json& json, std::string& value) const {
    if (!json.is_string()) fail(key, "not a string");
    value = json.get<std::string>();
    // open(2) would open the part before the NUL.
    if (value.find('\0') != std::string::npos) fail(key, "contains a NUL");
}

std::uint64_t Fields::to_number(std::string_view key, const Json& json, std::uint64_t max) const {
    // Parsed text yields an unsigned number, but a C++ literal in a hand-made Json is signed.
    const bool counts = json.is_number_unsigned() || (json.is_number_integer() && json.get<std::int64_t>() >= 0);
    if (!counts || json.get<std::uint64_t>() > max) fail(key, "not a whole number from 0 to " + std::to_string(max));
    return json.get<std::uint64_t>();
}

void Fields::expect_not_empty(std::string_view key, const std::string& value) const {
    if (value.empty()) fail(key, "empty");
}

void Fields::expect_no_others() const {
    for (const auto& [key, value] : json_.items()) {
        if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) fail("", "unknown field " + shortened(key));
    }
}

}  // namespace blktap::ipc
