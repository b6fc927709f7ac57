// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Counters of one connection. They only grow; the control protocol's "stats" shows them.
#pragma once

#include <algorithm>
#include <array>
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

/// Turns that handed the kernel a write for which it may have had to allocate, by the time that io_submit() took.
struct AllocationStats {
    static constexpr std::array<std::uint64_t, 7> limits_us{20, 50, 100, 200, 500, 1000, 2000};

    std::array<std::uint64_t, limits_us.size() + 1> turns{};  ///< up to each limit; the last: beyond
    std::uint64_t longest_ns = 0;

    void note(std::uint64_t took_ns) noexcept {
        std::size_t index = 0;
        while (index < limits_us.size() && took_ns > limits_us[index] * 1000)
            ++index;
        ++turns[index];
        longest_ns = std::max(longest_ns, took_ns);
    }
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
    std::uint64_t parked = 0;             ///< times a request was parked for lack of space, or of healthy storage
    std::uint64_t gave_up = 0;            ///< parked requests that were answered with an error
    std::uint64_t stopped_queues = 0;     ///< rings stopped because their producer ran ahead
    TurnStats turn_max;
    std::uint64_t longest_turn_ns = 0;  ///< to the kernel's tick: a shorter turn is 0 now and then a tick
    AllocationStats allocation;
};

}  // namespace blktap
