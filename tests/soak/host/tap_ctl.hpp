// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapCtl: the operator's command, run as an operator runs it.
#pragma once

#include <atomic>

#include "tests/control/host/control_host.hpp"

namespace blktap::soak {

class TapCtl {
  public:
    struct Outcome {
        int status = 0;
        std::string said{};  ///< on both its outputs
        bool says(const std::string& words) const { return said.find(words) != std::string::npos; }
    };

    explicit TapCtl(const control_test::ControlHost& host) : host_(host) {}
    /// Runs it to its end, at most a minute: a status of 137 then. Context: any thread.
    Outcome run(std::vector<std::string> words) const;

  private:
    const control_test::ControlHost& host_;
    mutable std::atomic<unsigned> runs_ = 0;
};

}  // namespace blktap::soak
