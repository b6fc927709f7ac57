// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Options of a soak, from the environment: tests/soak/run sets it.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/base/clock.hpp"

namespace blktap::soak {

struct Options {
    std::uint64_t seed = 1;                           ///< BLKTAP_SEED; without it a new one
    Nanoseconds duration = std::chrono::seconds(20);  ///< BLKTAP_SOAK_SECONDS
    unsigned disks = 6;                               ///< BLKTAP_SOAK_DISKS
    std::string planted{};  ///< BLKTAP_SOAK_PLANTED: the fault that all tapdisks have; or none
    std::string actions{};  ///< BLKTAP_SOAK_ACTIONS: "pause,kill-tapback"; empty: all
    std::string log{};      ///< BLKTAP_SOAK_LOG: where tapback's log goes after a finding
};

/// Errors: throws std::runtime_error naming the variable.
Options read_options();

}  // namespace blktap::soak
