// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MemoryPeak: the growth of this process's peak memory since construction, as the kernel counts it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tests/support/catch.hpp"

namespace blktap::testing {

class MemoryPeak {
  public:
    MemoryPeak() {
        std::ofstream reset{"/proc/self/clear_refs"};
        reset << "5" << std::flush;  // VmHWM is VmRSS from now on
        REQUIRE(reset.good());
        before_ = kib("VmRSS:");
    }
    std::uint64_t bytes() const {
        const std::uint64_t peak = kib("VmHWM:");
        return (peak - std::min(peak, before_)) * 1024;
    }

  private:
    static std::uint64_t kib(const std::string& name) {
        std::ifstream status{"/proc/self/status"};
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with(name)) return std::stoull(line.substr(name.size()));
        }
        throw std::runtime_error("no " + name + " in /proc/self/status");
    }
    std::uint64_t before_ = 0;
};

}  // namespace blktap::testing
