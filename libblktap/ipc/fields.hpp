// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fields: reads one JSON object strictly. Each field is read by name and type; a wrong type, and a field that was not
// read, is an error whose text says where: "connect: queues[1].ring-refs: 17 entries, at most 16". So strictness is
// written once, and a message's declaration reads like the protocol's tables.
//
// Tested by tests/unit/ipc/messages_test.cpp.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace blktap::ipc {

class Fields {
  public:
    using Json = nlohmann::json;

    /// `request` ("connect") and `path` ("queues[1]", empty at the top) name the object in errors.
    /// Errors, of all functions here: throws std::system_error (Errc::bad_message). Lifetime: `json` outlives this.
    Fields(const Json& json, std::string request, std::string path = {});

    /// Returns the field, or null if it is absent.
    const Json* find(const char* key);
    /// Returns the field; its absence is an error.
    const Json& require(const char* key);
    /// Returns an array of `count_min` to `count_max` entries.
    const Json& require_array(const char* key, std::size_t count_max, std::size_t count_min = 1);
    /// Returns the object at `key`; its absence, or another type, is an error.
    Fields require_object(const char* key) { return {require(key), request_, path_of(key)}; }

    template <class T>
    void read(const char* key, T& value) {
        convert(key, require(key), value);
    }
    /// Reads the field into `value`, which keeps its value if the field is absent.
    template <class T>
    void read_optional(const char* key, T& value) {
        if (const Json* field = find(key)) convert(key, *field, value);
    }
    /// Returns the index of the field's string in `words`; an absent field is an error.
    std::size_t read_choice(const char* key, std::span<const char* const> words);

    // Convert one value; `key` names it in errors.
    void convert(std::string_view key, const Json& json, bool& value) const;
    void convert(std::string_view key, const Json& json, std::string& value) const;
    /// An object of strings with any names.
    void convert(std::string_view key, const Json& json, std::map<std::string, std::string>& values) const;
    template <std::unsigned_integral T>
    void convert(std::string_view key, const Json& json, T& value) const {
        value = static_cast<T>(to_number(key, json, std::numeric_limits<T>::max()));
    }

    /// For a name or path: fails if it is empty.
    void expect_not_empty(std::string_view key, const std::string& value) const;
    /// Fails if the object has fields that were not read. Call after the last field.
    void expect_no_others() const;

    [[noreturn]] void fail(std::string_view key, const std::string& reason) const;
    /// The path of `key`, such as "queues[1]" in this object, from the request's arguments.
    std::string path_of(std::string_view key) const;
    const std::string& request() const noexcept { return request_; }

  private:
    std::uint64_t to_number(std::string_view key, const Json& json, std::uint64_t max) const;

    const Json& json_;
    std::string request_;
    std::string path_;
    std::vector<std::string_view> asked_;  ///< string literals
};

}  // namespace blktap::ipc
