// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CapturedStderr: what this process writes to descriptor 2 while the object lives.
#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

class CapturedStderr {
  public:
    CapturedStderr() : file_(::memfd_create("stderr", MFD_CLOEXEC)), before_(::dup(STDERR_FILENO)) {
        if (!file_ || !before_ || ::dup2(file_.get(), STDERR_FILENO) < 0) throw_system_error("capturing stderr");
    }
    CapturedStderr(const CapturedStderr&) = delete;
    CapturedStderr& operator=(const CapturedStderr&) = delete;
    ~CapturedStderr() { ::dup2(before_.get(), STDERR_FILENO); }

    std::string text() const {
        std::string all;
        std::array<char, 4096> part;
        off_t at = 0;
        for (ssize_t got; (got = ::pread(file_.get(), part.data(), part.size(), at)) > 0; at += got) {
            all.append(part.data(), static_cast<std::size_t>(got));
        }
        return all;
    }

  private:
    UniqueFd file_;
    UniqueFd before_;
};

}  // namespace blktap::testing
