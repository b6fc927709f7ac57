// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/tap_table.hpp"

#include <algorithm>

#include "libblktap/base/error.hpp"
#include "libblktap/ipc/fields.hpp"

namespace blktap::tapback {
namespace {

constexpr unsigned table_version = 1;

std::string number_text(std::uint32_t minor) {
    return "number " + std::to_string(minor);
}

void require_in_range(std::uint32_t minor) {
    if (minor < TapTable::minors_max) return;
    throw_error(std::make_error_code(std::errc::invalid_argument),
                number_text(minor) + ": not below " + std::to_string(TapTable::minors_max));
}

ipc::Json to_json(const Tap& tap) {
    ipc::Json json{{"pid", tap.pid}, {"socket", tap.socket}};
    if (tap.start) json["start"] = *tap.start;
    if (tap.ending) json["ending"] = true;
    if (tap.minor) json["minor"] = *tap.minor;
    if (tap.image) json["image"] = *tap.image;
    return json;
}

Tap read_tap(const ipc::Json& json) {
    ipc::Fields fields(json, "tap");
    Tap tap;
    fields.read("pid", tap.pid);
    fields.read("socket", tap.socket);
    if (tap.socket.empty() || tap.socket.find('/') != std::string::npos) fields.fail("socket", "not a file's name");
    if (const ipc::Json* start = fields.find("start")) fields.convert("start", *start, tap.start.emplace());
    fields.read_optional("ending", tap.ending);
    if (const ipc::Json* minor = fields.find("minor")) fields.convert("minor", *minor, tap.minor.emplace());
    if (const ipc::Json* image = fields.find("image")) tap.image = image->get<ipc::ImageArguments>();
    fields.expect_no_others();
    return tap;
}

}  // namespace

bool TapTable::has_number(std::uint32_t minor) const {
    if (numbers_.contains(minor)) return true;
    return std::any_of(taps_.begin(), taps_.end(), [&](const auto& entry) { return entry.second.minor == minor; });
}

void TapTable::require_room() const {
    if (taps_.size() + numbers_.size() < unclaimed_max) return;
    throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                std::to_string(unclaimed_max) + " tapdisks and numbers are no disk's; they end within a minute");
}

std::uint32_t TapTable::allocate(const Taken& taken, Nanoseconds now) {
    require_room();
    for (std::uint32_t minor = 0; minor < minors_max; ++minor) {
        if (has_number(minor) || taken(minor)) continue;
        numbers_[minor] = now + patience;
        return minor;
    }
    throw_error(std::make_error_code(std::errc::no_space_on_device), "no number is free");
}

void TapTable::add(std::uint32_t pid, std::uint64_t start, const std::string& socket, Nanoseconds now) {
    taps_[pid] = {.pid = pid, .start = start, .socket = socket, .deadline = now + patience};
}

Tap* TapTable::find(std::uint32_t pid) {
    const auto found = taps_.find(pid);
    return found == taps_.end() || found->second.ending ? nullptr : &found->second;
}

Tap* TapTable::find(const ipc::TapArguments& name) {
    Tap* const tap = find(name.pid);
    return tap != nullptr && tap->minor == name.minor ? tap : nullptr;
}

Tap& TapTable::require(std::uint32_t pid) {
    Tap* const tap = find(pid);
    if (tap == nullptr) {
        throw_error(std::make_error_code(std::errc::no_such_file_or_directory),
                    "process " + std::to_string(pid) + ": not a tapdisk without a disk");
    }
    return *tap;
}

void TapTable::attach(const ipc::TapArguments& name, const Taken& taken, Nanoseconds now) {
    require_in_range(name.minor);
    Tap& tap = require(name.pid);
    if (tap.minor && tap.minor != name.minor)
        throw_error(Errc::wrong_state, "tapdisk " + std::to_string(name.pid) + " has " + number_text(*tap.minor));
    if (!tap.minor) {
        const bool allocated = numbers_.contains(name.minor);
        if (!allocated && (has_number(name.minor) || taken(name.minor))) {
            throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                        number_text(name.minor) + ": another tapdisk has it");
        }
        numbers_.erase(name.minor);
        tap.minor = name.minor;
    }
    tap.deadline = now + patience;
}

Tap& TapTable::begin_open(const ipc::TapArguments& name, const ipc::ImageArguments& image, Nanoseconds now) {
    require_in_range(name.minor);
    Tap& tap = require(name.pid);
    if (tap.minor != name.minor) {
        throw_error(Errc::wrong_state,
                    "tapdisk " + std::to_string(name.pid) + " does not have " + number_text(name.minor));
    }
    if (tap.image) throw_error(Errc::wrong_state, "tapdisk " + std::to_string(name.pid) + ": an image is open already");
    tap.image = image;
    tap.deadline = now + patience;
    return tap;
}

void TapTable::free(std::uint32_t minor) {
    require_in_range(minor);
    if (numbers_.erase(minor) == 0 && has_number(minor)) {
        throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                    number_text(minor) + ": a tapdisk has it");
    }
}

std::optional<std::uint32_t> TapTable::pid_of(const std::string& socket) const {
    for (const auto& [pid, tap] : taps_)
        if (tap.socket == socket) return pid;
    return std::nullopt;
}

void TapTable::remove(std::uint32_t pid) {
    taps_.erase(pid);
}

std::vector<std::uint32_t> TapTable::expire(Nanoseconds now) {
    std::erase_if(numbers_, [&](const auto& entry) { return entry.second <= now; });
    std::vector<std::uint32_t> due;
    for (const auto& [pid, tap] : taps_)
        if (!tap.ending && tap.deadline <= now) due.push_back(pid);
    return due;
}

std::optional<Nanoseconds> TapTable::next_deadline() const {
    std::optional<Nanoseconds> first;
    const auto consider = [&](Nanoseconds deadline) {
        if (!first || deadline < *first) first = deadline;
    };
    for (const auto& [minor, deadline] : numbers_)
        consider(deadline);
    for (const auto& [pid, tap] : taps_)
        if (!tap.ending) consider(tap.deadline);
    return first;
}

std::string TapTable::free_socket(const std::function<bool(const std::string& name)>& used) const {
    for (unsigned serial = 0;; ++serial) {
        std::string name = "tap-" + std::to_string(serial) + ".sock";
        if (!pid_of(name) && !used(name)) return name;
    }
}

ipc::Json TapTable::to_json() const {
    ipc::Json taps = ipc::Json::array();
    for (const auto& [pid, tap] : taps_)
        taps.push_back(tapback::to_json(tap));
    ipc::Json numbers = ipc::Json::array();
    for (const auto& [minor, deadline] : numbers_)
        numbers.push_back(minor);
    return {{"version", table_version}, {"taps", taps}, {"numbers", numbers}};
}

TapTable TapTable::from_json(const ipc::Json& json, Nanoseconds now) {
    ipc::Fields fields(json, "taps");
    unsigned version = 0;
    fields.read("version", version);
    if (version != table_version) fields.fail("version", std::to_string(version) + ": not one of this tapback's");
    TapTable table;
    const ipc::Json& taps = fields.require("taps");
    const ipc::Json& numbers = fields.require("numbers");
    fields.expect_no_others();
    if (!taps.is_array() || !numbers.is_array()) fields.fail("taps", "not an array");
    for (const ipc::Json& entry : taps) {
        Tap tap = read_tap(entry);
        tap.deadline = now + patience;
        table.taps_[tap.pid] = std::move(tap);
    }
    for (const ipc::Json& entry : numbers) {
        std::uint32_t minor = 0;
        fields.convert("numbers", entry, minor);
        table.numbers_[minor] = now + patience;
    }
    return table;
}

}  // namespace blktap::tapback
