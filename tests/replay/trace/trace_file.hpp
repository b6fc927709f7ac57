// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A whole trace in memory, and as text for people. The format is libblktap/ring/trace.hpp's.
//
// Tested by tests/unit/replay/trace_test.cpp.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "libblktap/ring/trace.hpp"

namespace blktap::replay {

struct Trace {
    ring::TraceHeader header;
    std::vector<ring::TraceRecord> records;
    bool cut_short = false;  ///< the file ends within a record: the recorder was killed
};

/// Errors: throws std::runtime_error naming the file and the place in it.
Trace load_trace(const std::string& path);
Trace parse_trace(const std::string& name, std::span<const std::byte> bytes);

/// "read", ..., or "operation 9".
std::string operation_name(std::uint8_t operation);
/// One line: time in seconds, queue, operation, sectors, segments, and what was noted.
std::string describe_record(const ring::TraceRecord& record);
void print_trace(const Trace& trace, std::FILE* out);

}  // namespace blktap::replay
