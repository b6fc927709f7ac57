// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/config/config_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {
namespace {

/// A configuration is a few lines: a larger file was named by mistake, and may be a disk.
constexpr std::size_t size_max_bytes = 1 << 20;

std::string read_all(int fd, const std::string& path) {
    std::string text(size_max_bytes + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
        if (got < 0) throw_system_error(path);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    if (size > size_max_bytes) throw_error({EFBIG, std::system_category()}, path + ": not a configuration file");
    text.resize(size);
    return text;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view space = " \t\r";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

}  // namespace

std::vector<ConfigLine> read_config(const std::string& path, Absent absent) {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    if (!file) {
        if (errno == ENOENT && absent == Absent::is_empty) return {};
        throw_system_error(path);
    }
    std::vector<ConfigLine> lines;
    std::istringstream text{read_all(file.get(), path)};
    unsigned number = 0;
    for (std::string line; std::getline(text, line);) {
        ++number;
        const std::string_view content = trim(line);
        if (content.empty() || content.front() == '#') continue;
        const std::string where = path + ':' + std::to_string(number) + ": ";
        const auto equals = content.find('=');
        if (equals == std::string_view::npos) throw std::runtime_error(where + "not a line of the form 'key = value'");
        ConfigLine parsed{number, std::string(trim(content.substr(0, equals))),
                          std::string(trim(content.substr(equals + 1)))};
        if (parsed.value.empty()) throw std::runtime_error(where + parsed.key + ": no value");
        const auto same = std::ranges::find(lines, parsed.key, &ConfigLine::key);
        if (same != lines.end()) {
            throw std::runtime_error(where + parsed.key + ": is in line " + std::to_string(same->number) + " already");
        }
        lines.push_back(std::move(parsed));
    }
    return lines;
}

}  // namespace blktap::tapback
