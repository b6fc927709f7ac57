// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A script's line as words, and the readers of single values. Every error is a ScriptError that names file and line.
#pragma once

#include <limits>

#include "tests/replay/script/script.hpp"

namespace blktap::replay {

/// Words of one line, comment removed.
struct ScriptLine {
    std::string_view file;
    unsigned number = 0;
    std::vector<std::string_view> words{};

    [[noreturn]] void fail(const std::string& what) const;
};
ScriptLine split_line(std::string_view file, unsigned number, std::string_view text);

/// "key=value"; a word without '=' is all key.
struct ScriptField {
    std::string_view key;
    std::optional<std::string_view> value;
};
ScriptField split_field(std::string_view word);

/// Decimal or 0x hexadecimal, at most `max`.
std::uint64_t read_number(const ScriptLine& line, std::string_view text, std::uint64_t max);
template <class Unsigned>
Unsigned read_number_as(const ScriptLine& line, std::string_view text) {
    return static_cast<Unsigned>(read_number(line, text, std::numeric_limits<Unsigned>::max()));
}
bool read_yes_no(const ScriptLine& line, std::string_view text);
/// A pattern's name: 1 to 8 letters, digits, '_' or '-'.
std::string read_pattern(const ScriptLine& line, std::string_view text);
/// "FIRST-LAST[*COUNT][@GREF|@read-only],..."; "none" or "" is an empty list.
std::vector<ScriptSegment> read_segments(const ScriptLine& line, std::string_view text);
/// "GREF,..."
std::vector<std::uint32_t> read_refs(const ScriptLine& line, std::string_view text);
/// An operation by name or wire value.
std::uint8_t read_operation(const ScriptLine& line, std::string_view text);
ring::Protocol read_protocol(const ScriptLine& line, std::string_view text);

}  // namespace blktap::replay
