// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/metadata/parent_path.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

#include "drivers/vhd/metadata/header.hpp"
#include "libblktap/files/image_path.hpp"

namespace blktap::vhd {
namespace {

constexpr std::string_view url_scheme = "file://";
constexpr std::string_view url_host = "localhost/";

std::vector<std::byte> to_bytes(const std::string& text) {
    const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
    return {begin, begin + text.size()};
}

std::string from_windows(std::string text) {
    std::ranges::replace(text, '\\', '/');
    const bool drive = text.size() >= 2 && std::isalpha(static_cast<unsigned char>(text[0])) != 0 && text[1] == ':';
    return drive ? text.substr(2) : text;
}

std::optional<std::string> from_url(std::span<const std::byte> bytes) {
    std::string text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    text.resize(std::min(text.size(), text.find('\0')));
    if (!text.starts_with(url_scheme)) return std::nullopt;
    text.erase(0, url_scheme.size());
    if (text.starts_with(url_host)) text.erase(0, url_host.size() - 1);
    return text;
}

}  // namespace

std::optional<std::string> decode_parent(const ParentName& name) {
    std::optional<std::string> path;
    if (name.platform == platform_windows_relative || name.platform == platform_windows_absolute) {
        path = from_windows(from_utf16(name.bytes, false));
    } else if (name.platform == platform_url) {
        path = from_url(name.bytes);
    }
    if (path && path->empty()) return std::nullopt;
    return path;
}

std::vector<std::byte> encode_parent(std::uint32_t platform, const std::string& path) {
    if (platform == platform_url) return to_bytes(std::string{url_scheme} + path);
    std::string text = path;
    std::ranges::replace(text, '/', '\\');
    return to_bytes(to_utf16(text, false));
}

std::vector<std::string> parent_paths(const std::string& image_path, const std::vector<ParentName>& names) {
    const std::filesystem::path directory = std::filesystem::path{image_path}.parent_path();
    std::vector<std::string> relative;
    std::vector<std::string> absolute;
    const auto add = [](std::vector<std::string>& to, const std::filesystem::path& path) {
        std::string text = tidied(path);
        if (std::ranges::find(to, text) == to.end()) to.push_back(std::move(text));
    };
    for (const ParentName& name : names) {
        const auto decoded = decode_parent(name);
        if (!decoded) continue;
        const std::filesystem::path path{*decoded};
        if (path.is_absolute()) {
            add(absolute, path);
        } else {
            add(relative, directory / path);
        }
    }
    for (const std::string& path : absolute)
        add(relative, path);
    return relative;
}

}  // namespace blktap::vhd
