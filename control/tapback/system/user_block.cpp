// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/user_block.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "libblktap/base/defaults.hpp"
#include "libblktap/base/small_file.hpp"

namespace blktap::tapback {
namespace {

constexpr std::uint64_t end_of_blocks = 0x7fc00000;
/// libxl adds the number of a domain to its base.
constexpr std::uint64_t domains_of_libxl = 0x7ff0;
constexpr std::string_view base_of_libxl = "xen-qemuuser-range-base";

struct Range {
    std::uint64_t first, count;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::optional<std::uint64_t> to_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool valid = error == std::errc{} && end == text.data() + text.size() && number <= UINT32_MAX;
    return valid ? std::optional(number) : std::nullopt;
}

/// passwd(5) and group(5): the third field is an id.
void add_accounts(std::string_view text, std::vector<Range>& taken) {
    for (const std::string_view line : split(text, '\n')) {
        const auto fields = split(line, ':');
        const auto id = fields.size() > 2 ? to_number(fields[2]) : std::nullopt;
        if (id) taken.push_back({*id, fields[0] == base_of_libxl ? domains_of_libxl : 1});
    }
}

/// subuid(5): name, first, count.
void add_subordinates(std::string_view text, std::vector<Range>& taken) {
    for (const std::string_view line : split(text, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() != 3) continue;
        const auto first = to_number(fields[1]);
        const auto count = to_number(fields[2]);
        if (first && count) taken.push_back({*first, *count});
    }
}

}  // namespace

std::optional<uid_t> choose_user_block(const UserFiles& files) {
    std::vector<Range> taken;
    add_accounts(files.passwd, taken);
    add_accounts(files.group, taken);
    add_subordinates(files.subuid, taken);
    add_subordinates(files.subgid, taken);
    for (std::uint64_t block = default_first_user; block < end_of_blocks; block += user_block_size) {
        const bool named = std::ranges::any_of(taken, [&](const Range& range) {
            return range.first < block + user_block_size && block < range.first + range.count;
        });
        if (!named) return static_cast<uid_t>(block);
    }
    return std::nullopt;
}

std::optional<uid_t> choose_user_block() {
    const auto read = [](const char* path) {
        try {
            return read_small_file(path).value_or("");
        } catch (const std::system_error&) {
            return std::string();
        }
    };
    const std::string passwd = read("/etc/passwd"), group = read("/etc/group");
    const std::string subuid = read("/etc/subuid"), subgid = read("/etc/subgid");
    return choose_user_block({passwd, group, subuid, subgid});
}

}  // namespace blktap::tapback
