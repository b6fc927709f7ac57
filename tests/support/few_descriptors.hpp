// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FewDescriptors: uses up all but a few file descriptors of the process, for as long as the object lives.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"

namespace blktap::testing {

class FewDescriptors {
  public:
    /// Leaves `left` free descriptors, including those in gaps between open ones.
    explicit FewDescriptors(unsigned left) {
        if (::getrlimit(RLIMIT_NOFILE, &old_) != 0) throw_system_error("RLIMIT_NOFILE");
        rlimit few = old_;
        for (few.rlim_cur = 0; left > 0 || is_open(static_cast<int>(few.rlim_cur)); ++few.rlim_cur)
            if (!is_open(static_cast<int>(few.rlim_cur))) --left;
        if (::setrlimit(RLIMIT_NOFILE, &few) != 0) throw_system_error("RLIMIT_NOFILE");
    }
    FewDescriptors(const FewDescriptors&) = delete;
    FewDescriptors& operator=(const FewDescriptors&) = delete;
    ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &old_); }

  private:
    static bool is_open(int fd) noexcept { return ::fcntl(fd, F_GETFD) >= 0; }

    rlimit old_{};
};

}  // namespace blktap::testing
