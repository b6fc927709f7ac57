// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/small_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap {
namespace {

constexpr std::size_t size_max_bytes = std::size_t{1} << 20;

void write_all(const UniqueFd& file, const std::string& path, const std::string& contents) {
    for (std::size_t written = 0; written < contents.size();) {
        const ssize_t count = ::write(file.get(), contents.data() + written, contents.size() - written);
        if (count < 0 && errno != EINTR) throw_system_error(path);
        if (count > 0) written += static_cast<std::size_t>(count);
    }
}

void sync_directory(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path();
    const UniqueFd directory{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory || ::fsync(directory.get()) != 0) throw_system_error(parent.string());
}

}  // namespace

std::optional<std::string> read_small_file(const std::string& path) {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file && errno == ENOENT) return std::nullopt;
    if (!file) throw_system_error(path);
    std::string contents;
    for (char buffer[4096];;) {
        const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
        if (count == 0) return contents;
        if (count < 0 && errno != EINTR) throw_system_error(path);
        if (count > 0) contents.append(buffer, static_cast<std::size_t>(count));
        if (contents.size() > size_max_bytes) throw_error(std::make_error_code(std::errc::file_too_large), path);
    }
}

void write_small_file(const std::string& path, const std::string& contents, mode_t mode, Outlives outlives) {
    const std::string temporary = path + small_file_suffix;
    if (::unlink(temporary.c_str()) != 0 && errno != ENOENT) throw_system_error(temporary);
    try {
        const UniqueFd file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)};
        if (!file) throw_system_error(temporary);
        write_all(file, temporary, contents);
        if (::fchmod(file.get(), mode) != 0) throw_system_error(temporary);
        if (outlives == Outlives::power && ::fsync(file.get()) != 0) throw_system_error(temporary);
        if (::rename(temporary.c_str(), path.c_str()) != 0) throw_system_error(path);
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
    if (outlives == Outlives::power) sync_directory(path);
}

}  // namespace blktap
