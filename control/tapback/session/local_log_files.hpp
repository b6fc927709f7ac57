// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// LocalLogFiles: the recovery logs of a disk's local rings: files on the run directory's tmpfs, beside the record and
// the log of the guest's rings. They have fixed names, so the next tapback finds them whenever this one is killed.
// Tapdisks get all of them in advance (docs/decisions/0030), and only tapdisks write them.
//
// Tested by tests/unit/tapback/session/local_log_files_test.cpp.
#pragma once

#include <string>
#include <vector>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

class LocalLogFiles {
  public:
    /// `prefix`: of the files' paths.
    explicit LocalLogFiles(std::string prefix) : prefix_(std::move(prefix)) {}

    /// Opens all of them, and makes those that are missing. Errors: none: the failure is logged, and there are fewer.
    std::vector<UniqueFd> make() const noexcept;
    /// Opens those that are there. Errors: throws std::system_error (EMFILE, ENFILE, ENOMEM: not for now).
    std::vector<UniqueFd> open() const;
    void remove() const noexcept;

  private:
    std::string path(std::size_t number) const { return prefix_ + ".local-" + std::to_string(number); }

    const std::string prefix_;
};

/// For a message.
std::vector<int> numbers_of(const std::vector<UniqueFd>& files);

}  // namespace blktap::tapback
