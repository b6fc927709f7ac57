// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/vbd_address.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "libblktap/ipc/messages.hpp"

namespace blktap::ipc {
namespace {

constexpr std::uint32_t xvd_major = 202;
constexpr std::uint32_t xvd_minors = 16;           // partitions, and the disk itself, in the first form
constexpr std::uint32_t xvd_extended = 1u << 28;   // the second form: disk << 8 | partition
constexpr std::uint32_t xvd_disks_max = 1u << 20;  // limit of the second form

template <class Number>
bool read_whole(std::string_view text, Number& number, int base = 10) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return error == std::errc{} && end == text.data() + text.size();
}

/// Removes the disk's letters from `text`; returns 0 for "a", 1 for "b", ..., 26 for "aa", ...
std::optional<std::uint32_t> take_disk(std::string_view& text) {
    std::uint32_t disk = 0;
    std::size_t letters = 0;
    for (; letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z'; ++letters) {
        if (disk > xvd_disks_max) return std::nullopt;
        disk = disk * 26 + static_cast<std::uint32_t>(text[letters] - 'a') + 1;
    }
    text.remove_prefix(letters);
    if (letters == 0) return std::nullopt;
    return disk - 1;
}

/// "" is 0: the whole disk.
std::optional<std::uint32_t> read_partition(std::string_view text) {
    std::uint32_t partition = 0;
    if (text.empty()) return partition;
    if (text.front() == '0' || !read_whole(text, partition)) return std::nullopt;
    return partition;
}

std::optional<std::uint32_t> xvd_number(std::uint32_t disk, std::uint32_t partition) {
    if (disk < 16 && partition < xvd_minors) return xvd_major << 8 | disk * xvd_minors | partition;
    if (disk < xvd_disks_max && partition < 256) return xvd_extended | disk << 8 | partition;
    return std::nullopt;
}

std::optional<std::uint32_t> sd_number(std::uint32_t disk, std::uint32_t partition) {
    if (disk >= 16 || partition >= 16) return std::nullopt;
    return 8u << 8 | disk * 16 | partition;
}

std::optional<std::uint32_t> hd_number(std::uint32_t disk, std::uint32_t partition) {
    if (disk >= 4 || partition >= 64) return std::nullopt;
    return (disk < 2 ? 3u : 22u) << 8 | disk % 2 * 64 | partition;
}

std::string disk_letters(std::uint32_t disk) {
    std::string letters;
    for (++disk; disk > 0; disk = (disk - 1) / 26)
        letters.insert(letters.begin(), static_cast<char>('a' + (disk - 1) % 26));
    return letters;
}

/// Removes the first part of `path` and its '/'; returns the part.
std::string_view take_part(std::string_view& path) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(part.size() + 1, path.size()));
    return part;
}

/// Accepts "5", but not "05" or "+5", which would be other nodes.
template <class Number>
bool read_exactly(std::string_view text, Number& number) {
    return read_whole(text, number) && std::to_string(number) == text;
}

}  // namespace

std::optional<std::uint32_t> device_number(std::string_view name) {
    std::uint32_t number = 0;
    if (name.starts_with("0x") && read_whole(name.substr(2), number, 16)) return number;
    if (read_whole(name, number)) return number;
    using ToNumber = std::optional<std::uint32_t> (*)(std::uint32_t, std::uint32_t);
    static constexpr std::array<std::pair<std::string_view, ToNumber>, 3> families{
        {{"xvd", xvd_number}, {"sd", sd_number}, {"hd", hd_number}}};
    for (const auto& [prefix, to_number] : families) {
        if (!name.starts_with(prefix)) continue;
        name.remove_prefix(prefix.size());
        const auto disk = take_disk(name);
        const auto partition = read_partition(name);
        if (!disk || !partition) return std::nullopt;
        return to_number(*disk, *partition);
    }
    return std::nullopt;
}

std::string device_name(std::uint32_t device) {
    std::uint32_t disk = 0;
    std::uint32_t partition = 0;
    if (device >> 8 == xvd_major) {
        disk = (device & 0xff) / xvd_minors;
        partition = device % xvd_minors;
    } else if (device >> 28 == 1) {
        disk = (device & ~xvd_extended) >> 8;
        partition = device & 0xff;
    } else {
        return std::to_string(device);
    }
    return "xvd" + disk_letters(disk) + (partition == 0 ? "" : std::to_string(partition));
}

std::string VbdAddress::backend_path() const {
    return (kind == Kind::vbd ? "backend/vbd/" : "backend/vbd3/") + name();
}

std::optional<BackendNode> parse_backend_path(std::string_view path) {
    BackendNode node;
    if (take_part(path) != "backend") return std::nullopt;
    const std::string_view kind = take_part(path);
    if (kind != "vbd" && kind != "vbd3") return std::nullopt;
    node.vbd.kind = kind == "vbd" ? VbdAddress::Kind::vbd : VbdAddress::Kind::vbd3;
    if (!read_exactly(take_part(path), node.vbd.domain) || node.vbd.domain > domain_max) return std::nullopt;
    if (!read_exactly(take_part(path), node.vbd.device)) return std::nullopt;
    node.below = path;
    return node;
}

bool is_read_only_mode(const std::optional<std::string>& mode) {
    return !mode || mode->find('w') == std::string::npos;
}

}  // namespace blktap::ipc
