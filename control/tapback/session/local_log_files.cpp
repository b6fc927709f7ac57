// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/local_log_files.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/ipc/parts_of_messages.hpp"

namespace blktap::tapback {
namespace {

UniqueFd open_file(const std::string& path, int more_flags) {
    return UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | more_flags, 0600));
}

}  // namespace

std::vector<UniqueFd> LocalLogFiles::make() const noexcept {
    std::vector<UniqueFd> files;
    try {
        for (std::size_t i = 1; i <= ipc::local_logs_max; ++i) {
            UniqueFd file = open_file(path(i), O_CREAT);
            if (!file) throw_system_error(path(i));
            files.push_back(std::move(file));
        }
    } catch (const std::exception& error) {
        log::warning("logs", {{"reason", error.what()}, {"state", "local rings may not outlive their tapdisk"}});
    }
    return files;
}

std::vector<UniqueFd> LocalLogFiles::open() const {
    std::vector<UniqueFd> files;
    for (std::size_t i = 1; i <= ipc::local_logs_max; ++i) {
        UniqueFd file = open_file(path(i), 0);
        if (!file && errno != ENOENT) throw_system_error(path(i));
        if (file) files.push_back(std::move(file));
    }
    return files;
}

void LocalLogFiles::remove() const noexcept {
    for (std::size_t i = 1; i <= ipc::local_logs_max; ++i)
        ::unlink(path(i).c_str());
}

std::vector<int> numbers_of(const std::vector<UniqueFd>& files) {
    std::vector<int> numbers;
    for (const UniqueFd& file : files)
        numbers.push_back(file.get());
    return numbers;
}

}  // namespace blktap::tapback
