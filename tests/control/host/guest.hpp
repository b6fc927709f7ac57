// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Guest: a running ring-replay that is the guest of one disk.
#pragma once

#include "tests/control/host/toolstack.hpp"

namespace blktap::control_test {

class Guest {
  public:
    /// Runs "ring-replay <words> --xenstore <the disk's frontend>" as the disk's domain.
    Guest(const ControlHost& host, const Disk& disk, const std::vector<std::string>& words);

    bool running() noexcept { return process_.running(); }
    /// Its exit status; 137 (and it is killed) when it does not end within `limit`.
    int wait(Nanoseconds limit = std::chrono::seconds(60));
    /// Ctrl-C: ends its load in order.
    void interrupt() const noexcept;
    /// As a domain that is being destroyed: it does not run any more, and its memory is still there.
    void pause() const noexcept;
    /// As a guest that crashes.
    void kill() noexcept { process_.kill(); }
    std::string output() const { return testing::read_file(output_); }

  private:
    std::string output_;
    testing::Process process_;
};

/// Words of a load that writes and checks every byte; `more` is added.
std::vector<std::string> verified_load(const std::vector<std::string>& more = {});
/// CHECKs that a guest of `disk`, run to its end, finds every byte right.
void check_serves(const ControlHost& host, const Disk& disk, const std::vector<std::string>& more = {});

}  // namespace blktap::control_test
