// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Tally: what a soak did, counted: without it a soak that does nothing would look like one that finds nothing.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/replay/load/statistics.hpp"

namespace blktap::soak {

/// Context: any thread.
class Tally {
  public:
    void did(const std::string& action);
    /// Requests of a load, or of a reading back.
    void answered(const replay::Statistics& statistics);
    void verified(std::uint64_t bytes);
    /// A guest waited so long for an answer; `reason`: what was done to its disk.
    void waited(const std::string& reason, Nanoseconds time);
    std::uint64_t times(const std::string& action) const;
    std::uint64_t bytes_verified() const;
    std::string table() const;

  private:
    mutable std::mutex mutex_{};
    std::map<std::string, std::uint64_t> actions_{};
    std::map<std::string, std::vector<Nanoseconds>> waits_{};
    std::uint64_t reads_ = 0, writes_ = 0, flushes_ = 0, discards_ = 0;
    std::uint64_t bytes_verified_ = 0;
};

}  // namespace blktap::soak
