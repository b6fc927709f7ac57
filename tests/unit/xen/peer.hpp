// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Peer: a running fakexen_peer, another process in the test's world.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

class Peer {
  public:
    /// Starts it with `arguments`, its environment extended by `environment`, and the fake preloaded.
    Peer(const std::vector<std::string>& arguments, const std::vector<std::string>& environment);
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    /// Kills it where it still runs.
    ~Peer() { kill(); }

    /// Waits for its next line. Empty: it has ended.
    std::string line();
    /// The same, as numbers.
    std::vector<std::uint32_t> numbers();
    /// kill -9, and waits until it is gone.
    void kill() noexcept;
    /// Lets it end in order; returns its exit status.
    int finish() noexcept;

  private:
    int wait() noexcept;
    UniqueFd input_;
    UniqueFd output_;
    pid_t pid_ = -1;
};

}  // namespace blktap::testing
