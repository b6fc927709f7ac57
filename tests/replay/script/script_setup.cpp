// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A property of the disk is a name and where it is found in the device's description; the parser and the check use one
// table.
#include "tests/replay/script/script_setup.hpp"

#include <algorithm>
#include <array>

#include "tests/replay/frontend/frontend.hpp"

namespace blktap::replay {
namespace {

using Relation = ScriptRequirement::Relation;
using Device = ipc::DeviceDescription;

struct Property {
    std::string_view name;
    std::uint64_t (*value_of)(const Device& device);
};
constexpr std::array<Property, 5> properties{{
    {"size-sectors", [](const Device& device) { return device.size_sectors; }},
    {"read-only", [](const Device& device) { return std::uint64_t{device.read_only}; }},
    {"discard", [](const Device& device) { return std::uint64_t{device.discard}; }},
    {"indirect", [](const Device& device) { return std::uint64_t{device.indirect_segments_max}; }},
    {"physical-sector-bytes", [](const Device& device) { return std::uint64_t{device.physical_sector_size_bytes}; }},
}};

const Property* find_property(std::string_view name) noexcept {
    const auto found = std::ranges::find(properties, name, &Property::name);
    return found == properties.end() ? nullptr : &*found;
}

bool is_met(const ScriptRequirement& requirement, std::uint64_t value) noexcept {
    if (requirement.relation == Relation::at_least) return value >= requirement.value;
    if (requirement.relation == Relation::at_most) return value <= requirement.value;
    return value == requirement.value;
}

const char* relation_sign(Relation relation) noexcept {
    if (relation == Relation::at_least) return ">=";
    return relation == Relation::at_most ? "<=" : "=";
}

ScriptRequirement parse_requirement(const ScriptLine& line, std::string_view word) {
    const std::size_t sign = word.find_first_of("<>=");
    if (sign == std::string_view::npos) line.fail("'" + std::string(word) + "' has no =, >= or <=");
    ScriptRequirement requirement{line.number, std::string(word.substr(0, sign))};
    std::string_view value = word.substr(sign + 1);
    if (word[sign] != '=') {
        if (!value.starts_with('=')) line.fail("'" + std::string(word) + "': only =, >= and <= are known");
        requirement.relation = word[sign] == '>' ? Relation::at_least : Relation::at_most;
        value.remove_prefix(1);
    }
    if (find_property(requirement.property) == nullptr) line.fail("a disk has no '" + requirement.property + "'");
    const bool said_in_words = value == "yes" || value == "no";
    requirement.value = said_in_words ? value == "yes" : read_number_as<std::uint64_t>(line, value);
    return requirement;
}

}  // namespace

void parse_ring(const ScriptLine& line, ScriptRing& ring) {
    for (std::size_t i = 1; i < line.words.size(); ++i) {
        const auto [key, value] = split_field(line.words[i]);
        const std::string_view text = value.value_or("");
        if (key == "protocol") {
            ring.protocols = {read_protocol(line, text)};
        } else if (key == "order") {
            ring.order = static_cast<unsigned>(read_number(line, text, ring_order_max));
        } else if (key == "queues") {
            ring.queues = static_cast<unsigned>(read_number(line, text, ipc::queues_max));
            if (ring.queues == 0) line.fail("a disk has at least one queue");
        } else if (key == "persistent") {
            ring.persistent = read_yes_no(line, text);
        } else if (key == "discard") {
            ring.discard = read_yes_no(line, text);
        } else {
            line.fail("ring has no '" + std::string(key) + "'");
        }
    }
}

void parse_protocols(const ScriptLine& line, ScriptRing& ring) {
    ring.protocols.clear();
    for (std::size_t i = 1; i < line.words.size(); ++i) {
        if (line.words[i] == "all") {
            ring.protocols = {ring::Protocol::native, ring::Protocol::x86_32, ring::Protocol::x86_64};
        } else {
            ring.protocols.push_back(read_protocol(line, line.words[i]));
        }
    }
    if (ring.protocols.empty()) line.fail("protocols needs 'all', or the names of some");
}

void parse_requirements(const ScriptLine& line, std::vector<ScriptRequirement>& requirements) {
    for (std::size_t i = 1; i < line.words.size(); ++i)
        requirements.push_back(parse_requirement(line, line.words[i]));
}

void check_requirements(const Script& script, const Device& device) {
    for (const ScriptRequirement& requirement : script.requirements) {
        const std::uint64_t value = find_property(requirement.property)->value_of(device);
        if (is_met(requirement, value)) continue;
        throw std::runtime_error(script.name + ":" + std::to_string(requirement.line) + ": requires " +
                                 requirement.property + relation_sign(requirement.relation) +
                                 std::to_string(requirement.value) + ", the disk has " + std::to_string(value));
    }
}

}  // namespace blktap::replay
