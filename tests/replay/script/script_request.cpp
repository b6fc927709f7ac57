// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A named request takes only its own fields, so that a wrong one is noticed; "raw" takes all fields.
#include "tests/replay/script/script_request.hpp"

#include <algorithm>
#include <array>

#include "libblktap/ipc/messages.hpp"

namespace blktap::replay {
namespace {

using Setter = void (*)(const ScriptLine&, ScriptRequest&, std::string_view value);

struct FieldRule {
    std::string_view key;
    std::string_view used_by;  ///< initials of the requests below
    Setter set;
};

struct RequestRule {
    std::string_view word;
    char initial;
    ring::Operation operation;
};
constexpr std::array<RequestRule, 7> request_rules{{
    {"read", 'r', ring::Operation::read},
    {"write", 'w', ring::Operation::write},
    {"barrier", 'b', ring::Operation::write_barrier},
    {"flush", 'f', ring::Operation::flush_diskcache},
    {"discard", 'd', ring::Operation::discard},
    {"indirect", 'i', ring::Operation::indirect},
    {"raw", 'x', ring::Operation::read},
}};

constexpr std::array<FieldRule, 13> field_rules{{
    {"id", "rwbfdix",
     [](auto& line, auto& request, auto value) { request.id = read_number_as<std::uint64_t>(line, value); }},
    {"queue", "rwbfdix",
     [](auto& line, auto& request, auto value) {
         request.queue = static_cast<unsigned>(read_number(line, value, ipc::queues_max));
     }},
    {"handle", "rwbfdix",
     [](auto& line, auto& request, auto value) { request.handle = read_number_as<std::uint16_t>(line, value); }},
    {"operation", "x", [](auto& line, auto& request, auto value) { request.operation = read_operation(line, value); }},
    {"inner", "ix", [](auto& line, auto& request, auto value) { request.inner = read_operation(line, value); }},
    {"sector", "rwbfdix",
     [](auto& line, auto& request, auto value) { request.sector = read_number_as<std::uint64_t>(line, value); }},
    {"sectors", "dx",
     [](auto& line, auto& request, auto value) { request.sectors = read_number_as<std::uint64_t>(line, value); }},
    {"flag", "dx",
     [](auto& line, auto& request, auto value) { request.flag = read_number_as<std::uint8_t>(line, value); }},
    {"segments", "rwbfix",
     [](auto& line, auto& request, auto value) { request.segments = read_segments(line, value); }},
    {"refs", "ix", [](auto& line, auto& request, auto value) { request.descriptor_refs = read_refs(line, value); }},
    {"nr_segments", "rwbfix",
     [](auto& line, auto& request, auto value) { request.segment_count = read_number_as<std::uint16_t>(line, value); }},
    {"fill", "wbix", [](auto& line, auto& request, auto value) { request.fill = read_pattern(line, value); }},
    {"expect", "rix", [](auto& line, auto& request, auto value) { request.expect = read_pattern(line, value); }},
}};

Answer read_answer(const ScriptLine& line, std::string_view text) {
    for (const Answer answer : {Answer::okay, Answer::error, Answer::not_supported, Answer::any, Answer::none})
        if (text == answer_name(answer)) return answer;
    line.fail("'" + std::string(text) + "' is not okay, error, not-supported, any or none");
}

void set_field(const ScriptLine& line, const RequestRule& rule, std::string_view word, ScriptRequest& request) {
    if (word == "secure" && rule.operation == ring::Operation::discard) {
        request.flag = ring::discard_secure_flag;
        return;
    }
    const auto [key, value] = split_field(word);
    const auto* field = std::ranges::find(field_rules, key, &FieldRule::key);
    if (field == field_rules.end() || field->used_by.find(rule.initial) == std::string_view::npos || !value)
        line.fail("'" + std::string(word) + "' is no field of " + std::string(rule.word));
    field->set(line, request, *value);
}

}  // namespace

std::string answer_name(Answer answer) {
    switch (answer) {
        case Answer::okay:
            return "okay";
        case Answer::error:
            return "error";
        case Answer::not_supported:
            return "not-supported";
        case Answer::any:
            return "any";
        case Answer::none:
            return "none";
    }
    return "?";
}

std::string answer_name(ring::Status status) {
    switch (status) {
        case ring::Status::okay:
            return "okay";
        case ring::Status::error:
            return "error";
        case ring::Status::not_supported:
            return "not-supported";
    }
    return "status " + std::to_string(static_cast<int>(status));
}

bool is_request(std::string_view word) {
    return std::ranges::find(request_rules, word, &RequestRule::word) != request_rules.end();
}

ScriptRequest parse_request(const ScriptLine& line) {
    const RequestRule& rule = *std::ranges::find(request_rules, line.words.front(), &RequestRule::word);
    ScriptRequest request;
    request.line = line.number;
    request.id = line.number;
    request.operation = static_cast<std::uint8_t>(rule.operation);

    bool counted = false;
    for (std::size_t i = 1; i < line.words.size(); ++i) {
        if (line.words[i] == "->") {
            if (i + 2 != line.words.size()) line.fail("after -> comes one answer and nothing else");
            request.answer = read_answer(line, line.words[i + 1]);
            break;
        }
        counted |= line.words[i].starts_with("nr_segments=");
        set_field(line, rule, line.words[i], request);
    }
    if (!counted) request.segment_count = static_cast<std::uint16_t>(request.segments.size());
    if (!request.indirect() && request.segment_count > 255) line.fail("nr_segments is one byte, except when indirect");
    return request;
}

}  // namespace blktap::replay
