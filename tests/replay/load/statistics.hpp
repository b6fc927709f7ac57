// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Statistics: the counts and times of a run of requests, printed for people or for programs.
//
// Tested by tests/unit/replay/statistics_test.cpp.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "libblktap/ring/wire.hpp"
#include "tests/replay/load/histogram.hpp"

namespace blktap::replay {

struct Statistics {
    std::uint64_t reads = 0, writes = 0, flushes = 0, discards = 0, others = 0;  ///< answered, whatever the status
    std::uint64_t errors = 0, unsupported = 0;  ///< of these, answered with that status
    std::uint64_t bytes = 0;                    ///< moved by requests that were answered okay
    Histogram latency;
    Nanoseconds elapsed{0};
    std::optional<Nanoseconds> backend_cpu;  ///< CPU time of the tapdisk, when it can be known
    Nanoseconds own_cpu{0};

    /// Counts one answer. `operation` is the wire's, the inner one of an indirect request.
    void count(std::uint8_t operation, ring::Status status, std::uint64_t data_bytes, Nanoseconds took) noexcept;
    std::uint64_t answered() const noexcept { return reads + writes + flushes + discards + others; }
    double per_second(std::uint64_t amount) const noexcept;
};

/// A table, one fact a line, with units.
std::string format_table(const Statistics& statistics);
/// The same facts; units are in the names.
nlohmann::json to_json_report(const Statistics& statistics);

}  // namespace blktap::replay
