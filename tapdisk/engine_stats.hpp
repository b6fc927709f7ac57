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

/// What one turn did at most: the limits of docs/ARCHITECTURE.md, "the turn", as measured.
struct TurnStats {
    std::uint64_t submits = 0;
    std::uint64_t descriptor_copies = 0;
    std::uint64_t write_copies = 0;
    std::uint64_t read_copies = 0;
    std::uint64_t notifies = 0;  ///< over all queues; each gets at most one
};

struct EngineStats {
    OperationStats read, write, barrier, flush, discard;
    std::uint64_t rejected = 0;  ///< requests that the judge refused, or that could not be read
    std::uint64_t turns = 0;
    std::uint64_t notifies = 0;
    std::uint64_t descriptor_copies = 0;
    std::uint64_t write_copies = 0;
    std::uint64_t read_copies = 0;
    std::uint64_t waited_for_memory = 0;  ///< requests that found the page pool empty
    std::uint64_t waited_for_range = 0;   ///< requests that overlapped an exclusive one
    std::uint64_t parked = 0;             ///< times a request was parked for lack of space
    std::uint64_t stopped_queues = 0;     ///< rings stopped because their producer ran ahead
    TurnStats turn_max;
    std::uint64_t longest_turn_ns = 0;
};

}  // namespace blktap
