// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/image_path.hpp"

#include <algorithm>
#include <string_view>

namespace blktap {
namespace {

constexpr std::string_view file_protocol = "file:";

}  // namespace

std::string tidied(const std::filesystem::path& path) {
    std::filesystem::path result;
    for (const std::filesystem::path& part : path) {
        if (part != ".") result /= part;
    }
    return result;
}

std::string path_beside(const std::string& image_path, const std::string& name) {
    const bool prefixed = name.starts_with("file:/");
    const std::string path = prefixed ? name.substr(file_protocol.size()) : name;
    return tidied(std::filesystem::path{image_path}.parent_path() / path);
}

bool depends_on_working_directory(const std::string& name) noexcept {
    return name.starts_with(file_protocol) && !name.starts_with("file:/");
}

bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder) {
    return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

}  // namespace blktap
