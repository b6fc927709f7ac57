// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FewDescriptors: a process that has used up its file descriptors, all but a few, while this object lives.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"

namespace blktap::testing {

class FewDescriptors {
  public:
    /// `left` more can be opened. Descriptors that lie in a gap between open ones count.
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
