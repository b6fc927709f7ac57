// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Strict: a typing error in a test must not become a weaker test.
#include "tests/replay/script/script_words.hpp"

#include <algorithm>
#include <charconv>

namespace blktap::replay {
namespace {

constexpr std::string_view blanks = " \t\r";

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

/// Cuts `text` at the first `mark`; what follows it, if it is there.
std::optional<std::string_view> cut(std::string_view& text, char mark) {
    const std::size_t at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view rest = text.substr(at + 1);
    text = text.substr(0, at);
    return rest;
}

void append_segments(const ScriptLine& line, std::string_view text, std::vector<ScriptSegment>& segments) {
    ScriptSegment segment;
    if (const auto page = cut(text, '@')) {
        const bool read_only = *page == "read-only";
        segment.page = read_only ? ScriptSegment::Page::read_only : ScriptSegment::Page::gref;
        if (!read_only) segment.gref = read_number_as<std::uint32_t>(line, *page);
    }
    std::uint64_t count = 1;
    if (const auto times = cut(text, '*')) count = read_number(line, *times, script_segments_max);
    const auto last = cut(text, '-');
    if (!last) line.fail("a segment is FIRST-LAST, not '" + std::string(text) + "'");
    segment.first = read_number_as<std::uint8_t>(line, text);
    segment.last = read_number_as<std::uint8_t>(line, *last);
    if (count > script_segments_max - segments.size())
        line.fail("more than " + std::to_string(script_segments_max) + " segments");
    segments.insert(segments.end(), count, segment);
}

}  // namespace

void ScriptLine::fail(const std::string& what) const {
    throw ScriptError(std::string(file) + ":" + std::to_string(number) + ": " + what);
}

ScriptLine split_line(std::string_view file, unsigned number, std::string_view text) {
    text = text.substr(0, text.find('#'));
    ScriptLine line{file, number};
    while (true) {
        const std::size_t begin = text.find_first_not_of(blanks);
        if (begin == std::string_view::npos) return line;
        text.remove_prefix(begin);
        const std::size_t end = std::min(text.find_first_of(blanks), text.size());
        line.words.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

ScriptField split_field(std::string_view word) {
    const auto value = cut(word, '=');
    return {word, value};
}

std::uint64_t read_number(const ScriptLine& line, std::string_view text, std::uint64_t max) {
    std::string_view digits = text;
    const bool hexadecimal = digits.starts_with("0x");
    if (hexadecimal) digits.remove_prefix(2);
    std::uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
    if (error != std::errc{} || end != digits.data() + digits.size() || value > max)
        line.fail("'" + std::string(text) + "' is not a number from 0 to " + std::to_string(max));
    return value;
}

bool read_yes_no(const ScriptLine& line, std::string_view text) {
    if (text != "yes" && text != "no") line.fail("'" + std::string(text) + "' is neither yes nor no");
    return text == "yes";
}

std::string read_pattern(const ScriptLine& line, std::string_view text) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    if (text.empty() || text.size() > 8 || !std::ranges::all_of(text, allowed))
        line.fail("a pattern's name is 1 to 8 letters, digits, '_' or '-', not '" + std::string(text) + "'");
    return std::string(text);
}

std::vector<ScriptSegment> read_segments(const ScriptLine& line, std::string_view text) {
    std::vector<ScriptSegment> segments;
    if (text.empty() || text == "none") return segments;
    for (const std::string_view part : split(text, ','))
        append_segments(line, part, segments);
    return segments;
}

std::vector<std::uint32_t> read_refs(const ScriptLine& line, std::string_view text) {
    std::vector<std::uint32_t> refs;
    for (const std::string_view part : split(text, ','))
        refs.push_back(read_number_as<std::uint32_t>(line, part));
    if (refs.size() > ring::indirect_refs_in_slot) line.fail("a request has room for 8 descriptor pages");
    return refs;
}

std::uint8_t read_operation(const ScriptLine& line, std::string_view text) {
    using ring::Operation;
    for (const auto& [name, operation] :
         {std::pair{"read", Operation::read}, std::pair{"write", Operation::write},
          std::pair{"barrier", Operation::write_barrier}, std::pair{"flush", Operation::flush_diskcache},
          std::pair{"discard", Operation::discard}, std::pair{"indirect", Operation::indirect}})
        if (text == name) return static_cast<std::uint8_t>(operation);
    return read_number_as<std::uint8_t>(line, text);
}

ring::Protocol read_protocol(const ScriptLine& line, std::string_view text) {
    if (text == "native") return ring::Protocol::native;
    if (text == "x86_32") return ring::Protocol::x86_32;
    if (text == "x86_64") return ring::Protocol::x86_64;
    line.fail("'" + std::string(text) + "' is not x86_64, x86_32 or native");
}

}  // namespace blktap::replay
