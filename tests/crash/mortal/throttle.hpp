// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Throttle: a group of processes (cgroup version 1) whose writes to the device of a directory are slow: so they are in
// flight when a process dies. Needs root.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace blktap::testing {

class Throttle {
  public:
    /// Why this host cannot; empty: it can.
    static std::string missing(const std::string& directory);

    /// Errors: throws std::system_error.
    Throttle(const std::string& directory, std::uint64_t bytes_per_second);
    Throttle(const Throttle&) = delete;
    Throttle& operator=(const Throttle&) = delete;
    /// Nothing that it slowed is under way any more.
    ~Throttle();

    /// Errors: throws std::system_error.
    void slow_down(pid_t process) const;

  private:
    const std::string group_;
};

}  // namespace blktap::testing
