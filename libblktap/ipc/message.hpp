// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The parts of a message's declaration. A struct lists its fields once, in a function that both the reader and the
// writer of JSON call:
//
//   struct Resize {
//       static constexpr const char* name = "resize";  // the request on the wire
//       using Result = DeviceDescription;              // what a reply holds
//       std::uint64_t size_bytes = 0;
//       static void fields(auto& io, auto& it) { io.required("size", it.size_bytes); }
//   };
//
// A struct that is only a part of messages has a `label` instead of a name, for errors. Unknown fields are refused,
// unless `others` says that a newer peer may send more.
//
// Tested by tests/unit/ipc/messages_test.cpp, tests/unit/ipc/message_wire_test.cpp.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libblktap/ipc/fields.hpp"

namespace blktap::ipc {

using Json = nlohmann::json;

/// How unknown fields are treated.
enum class Others : std::uint8_t {
    as_outer,  ///< as in the struct around this one; the outermost refuses
    refused,
    ignored,
};

/// Whether a field must be present, and whether it is always written.
enum class Presence : std::uint8_t {
    required,  ///< always written; an error when absent
    optional,  ///< always written; the struct's default when absent
    sparing,   ///< written unless it is the default: an older peer may not know the field
};

/// A value and its name on the wire.
template <class T>
struct Choice {
    const char* word;
    T value;
};

class FieldReader;
class FieldWriter;

/// A struct that lists its fields.
template <class T>
concept Described = requires(FieldWriter& writer, const T& value) { T::fields(writer, value); };

/// A request: a described struct with its name and its result.
template <class T>
concept DeclaredMessage = Described<T> && requires {
    { T::name } -> std::convertible_to<const char*>;
    typename T::Result;
};

template <Described T>
constexpr const char* label_of() noexcept {
    if constexpr (requires { T::label; }) {
        return T::label;
    } else {
        return T::name;
    }
}

template <Described T>
constexpr bool ignores_others(bool outer_ignores) noexcept {
    if constexpr (requires { T::others; }) {
        return T::others == Others::as_outer ? outer_ignores : T::others == Others::ignored;
    } else {
        return outer_ignores;
    }
}

template <class T>
concept JsonScalar = std::same_as<T, bool> || std::same_as<T, std::string> || std::unsigned_integral<T> ||
                     std::same_as<T, std::map<std::string, std::string>>;

class FieldReader {
  public:
    /// Errors, of all functions: throws std::system_error (Errc::bad_message) naming the field.
    FieldReader(Fields fields, bool ignores_others) : fields_(std::move(fields)), ignores_others_(ignores_others) {}

    template <class T>
    void required(const char* key, T& value) {
        read(key, fields_.require(key), value);
    }
    template <class T>
    void optional(const char* key, T& value) {
        if (const Json* const field = fields_.find(key)) read(key, *field, value);
    }
    template <class T>
    void sparing(const char* key, T& value) {
        optional(key, value);
    }
    /// An array of `count_min` to `count_max` entries.
    template <class T>
    void array(const char* key, std::vector<T>& values, std::size_t count_max, std::size_t count_min = 0) {
        const Json& array = fields_.require_array(key, count_max, count_min);
        values.clear();
        for (std::size_t index = 0; index < array.size(); ++index) {
            values.emplace_back();
            read(std::string(key) + '[' + std::to_string(index) + ']', array[index], values.back());
        }
    }
    template <class T>
    void choice(const char* key, T& value, std::initializer_list<Choice<T>> choices, Presence presence) {
        if (presence != Presence::required && fields_.find(key) == nullptr) return;
        std::vector<const char*> words;
        for (const Choice<T>& choice : choices)
            words.push_back(choice.word);
        value = std::next(choices.begin(), static_cast<std::ptrdiff_t>(fields_.read_choice(key, words)))->value;
    }
    /// A field that follows from others; written for other readers of the message, and not read.
    template <class T>
    void derived(const char*, const T&) {}

    // Further conditions on a value.
    void not_empty(const char* key, const std::string& value) const { fields_.expect_not_empty(key, value); }
    void at_most(const char* key, std::uint64_t value, std::uint64_t max) const {
        if (value > max) fields_.fail(key, "at most " + std::to_string(max));
    }
    void shorter_than(const char* key, const std::string& value, std::size_t bytes_max) const {
        if (value.size() > bytes_max) fields_.fail(key, "longer than " + std::to_string(bytes_max) + " bytes");
    }
    /// Calls `check(fields)`, which checks the values read so far and fails with fields.fail().
    void check(std::invocable<const Fields&> auto check) const { check(fields_); }

    /// After the last field.
    void finish() const {
        if (!ignores_others_) fields_.expect_no_others();
    }

  private:
    template <JsonScalar T>
    void read(std::string_view key, const Json& json, T& value) const {
        fields_.convert(key, json, value);
    }
    template <class T>
    void read(std::string_view key, const Json& json, std::optional<T>& value) const {
        read(key, json, value.emplace());
    }
    template <Described T>
    void read(std::string_view key, const Json& json, T& value) const {
        FieldReader reader({json, fields_.request(), fields_.path_of(key)}, ignores_others<T>(ignores_others_));
        T::fields(reader, value);
        reader.finish();
    }
    /// For a type with its own text form: calls from_field(fields, key, json, value) and to_field(value), found by ADL.
    template <class T>
        requires requires(const Fields& fields, const Json& json, T& value) { from_field(fields, "", json, value); }
    void read(std::string_view key, const Json& json, T& value) const {
        from_field(fields_, key, json, value);
    }

    Fields fields_;
    bool ignores_others_;
};

class FieldWriter {
  public:
    explicit FieldWriter(Json& json) : json_(json) {}

    template <class T>
    void required(const char* key, const T& value) {
        json_[key] = written(value);
    }
    template <class T>
    void optional(const char* key, const T& value) {
        json_[key] = written(value);
    }
    template <class T>
    void optional(const char* key, const std::optional<T>& value) {
        if (value) json_[key] = written(*value);
    }
    template <class T>
    void sparing(const char* key, const T& value) {
        if (!(value == T{})) json_[key] = written(value);
    }
    template <class T>
    void array(const char* key, const std::vector<T>& values, std::size_t, std::size_t = 0) {
        Json array = Json::array();
        for (const T& value : values)
            array.push_back(written(value));
        json_[key] = std::move(array);
    }
    template <class T>
    void choice(const char* key, const T& value, std::initializer_list<Choice<T>> choices, Presence presence) {
        if (presence == Presence::sparing && value == T{}) return;
        for (const Choice<T>& choice : choices)
            if (choice.value == value) json_[key] = choice.word;
    }
    template <class T>
    void derived(const char* key, const T& value) {
        json_[key] = value;
    }
    void not_empty(const char*, const std::string&) const noexcept {}
    void at_most(const char*, std::uint64_t, std::uint64_t) const noexcept {}
    void shorter_than(const char*, const std::string&, std::size_t) const noexcept {}
    void check(std::invocable<const Fields&> auto) const noexcept {}

  private:
    template <class T>
    static Json written(const T& value) {
        if constexpr (Described<T>) {
            Json json = Json::object();
            FieldWriter writer(json);
            T::fields(writer, value);
            return json;
        } else if constexpr (JsonScalar<T>) {
            return value;
        } else {
            return to_field(value);
        }
    }

    Json& json_;
};

// How nlohmann::json reads and writes each described struct. Reading resets the struct first.
// Errors: throws std::system_error (Errc::bad_message) naming the field: "connect: queues[1].ring-refs: 17 entries,
// ...".
template <Described T>
void from_json(const Json& json, T& value) {
    value = {};
    FieldReader reader({json, label_of<T>()}, ignores_others<T>(false));
    T::fields(reader, value);
    reader.finish();
}
template <Described T>
void to_json(Json& json, const T& value) {
    json = Json::object();
    FieldWriter writer(json);
    T::fields(writer, value);
}

/// The arguments of a request that has none.
struct NoArguments {
    static constexpr const char* label = "arguments";
    static void fields(auto&, auto&) {}

    friend bool operator==(const NoArguments&, const NoArguments&) = default;
};

/// The result of a request that only succeeds.
struct Nothing {
    static constexpr const char* label = "result";
    static constexpr Others others = Others::ignored;
    static void fields(auto&, auto&) {}

    friend bool operator==(const Nothing&, const Nothing&) = default;
};

/// All messages that one server serves.
template <DeclaredMessage... M>
struct MessageList {
    /// Calls `visit.template operator()<M>()` for each message M.
    static void each(auto&& visit) { (visit.template operator()<M>(), ...); }
};

}  // namespace blktap::ipc
