// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Counters of one connection. They only grow; the control protocol's "stats" shows them.
#pragma once

#include <cstdint>

namespace blktap {

struct OperationStats {
    std::uint64_t requests = 0;
    std::uint64_t sectors = 0;
    std::uint64_t errors = 0;  ///< answered with anything but okay
};

/// The highest counts of one turn: compare "Limits of a turn" in docs/ARCHITECTURE.md.
struct TurnMost {
    std::uint64_t descriptor_copies = 0;
    std::uint64_t write_copies = 0;
    std::uint64_t read_copies = 0;
    std::uint64_t notifies = 0;  ///< over all queues; at most one for each
};

struct RingStats {
    OperationStats read, write, barrier, flush, discard;
    std::uint64_t taken = 0;     ///< requests, from all rings
    std::uint64_t adopted = 0;   ///< requests that a tapdisk which died had taken and not answered
    std::uint64_t rejected = 0;  ///< requests that the judge refused, or that could not be read
    std::uint64_t notifies = 0;
    std::uint64_t descriptor_copies = 0;
    std::uint64_t write_copies = 0;
    std::uint64_t read_copies = 0;
    std::uint64_t waited_for_memory = 0;  ///< requests that found the page pool empty
    std::uint64_t stopped_queues =
        0;  ///< rings stopped because their producer ran ahead, or that are not as the adopted log says
    TurnMost turn_most;
};

/// Counters of all connections together.
struct TurnStats {
    std::uint64_t turns = 0;
    std::uint64_t most_submits = 0;
    std::uint64_t longest_ns = 0;  ///< in whole ticks of the kernel: a shorter turn counts as 0 or one tick
};

}  // namespace blktap
