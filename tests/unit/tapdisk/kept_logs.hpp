// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// KeptLogs: the files that a controller keeps for the recovery logs of local rings.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <vector>

#include "tapdisk/ring/recovery_log.hpp"

namespace blktap::testing {

inline ino_t inode_of(const UniqueFd& file) {
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw_system_error("fstat");
    return status.st_ino;
}

class KeptLogs {
  public:
    explicit KeptLogs(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
            files_.push_back(make_anonymous_log_file());
    }
    UniqueFd copy(std::size_t index) const { return UniqueFd{::fcntl(files_[index].get(), F_DUPFD_CLOEXEC, 0)}; }
    std::vector<UniqueFd> copies() const {
        std::vector<UniqueFd> copies;
        for (std::size_t i = 0; i < files_.size(); ++i)
            copies.push_back(copy(i));
        return copies;
    }
    std::vector<int> numbers() const {
        std::vector<int> numbers;
        for (const UniqueFd& file : files_)
            numbers.push_back(file.get());
        return numbers;
    }
    const UniqueFd& file(std::size_t index) const { return files_[index]; }
    off_t size(std::size_t index) const {
        struct stat status {};
        return ::fstat(files_[index].get(), &status) == 0 ? status.st_size : -1;
    }
    /// Of all of them.
    std::size_t bytes() const {
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < files_.size(); ++i)
            bytes += static_cast<std::size_t>(size(i));
        return bytes;
    }

  private:
    std::vector<UniqueFd> files_;
};

}  // namespace blktap::testing
