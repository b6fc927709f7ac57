// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Pump: moves requests through a session's rings, as many at once as there are slots, and measures them. It is the
// client of benchmarks, so it costs little: everything is allocated and granted at the start, a batch is published and
// notified once, and it sleeps in one poll().
//
// Tested by tests/unit/replay/pump_test.cpp.
#pragma once

#include <functional>
#include <vector>

#include "tests/replay/load/statistics.hpp"
#include "tests/replay/load/traffic.hpp"
#include "tests/replay/session.hpp"

namespace blktap::replay {

struct PumpOptions {
    unsigned depth = 1;  ///< requests in flight on each queue
    std::uint32_t pages_per_slot = 1;
    bool spin = false;                                  ///< look at the rings instead of sleeping
    Nanoseconds timeout = std::chrono::seconds(30);     ///< without any answer
    std::function<void(const Statistics&)> progress{};  ///< called once a second, when set
};

class Pump {
  public:
    /// Errors: throws std::runtime_error for a depth above the ring's slots, std::system_error for pages that are not
    /// to be had. Lifetime: `session` and `clock` must outlive the pump.
    Pump(Session& session, const Clock& clock, PumpOptions options);

    /// Runs until the traffic is finished and everything is answered. Returns false when the user interrupted it.
    /// Errors: throws Failure: a wrong answer, none in time, the backend gone, or what the traffic found.
    bool run(Traffic& traffic, Statistics& statistics);

  private:
    struct Run {
        Traffic& traffic;
        Statistics& statistics;
        Nanoseconds began;
        Nanoseconds last_answer;
        Nanoseconds next_look;
        Nanoseconds next_progress;
        bool finished = false;
        bool interrupted = false;
    };
    void make_slots();
    bool reap(Run& run, Nanoseconds now);
    bool fill(Run& run, Nanoseconds now);
    void answer(Run& run, unsigned queue, const ring::Response& response, Nanoseconds now);
    void put(Slot& slot, Nanoseconds now) noexcept;
    void sleep(Run& run, Nanoseconds now);
    void look_around(Run& run, Nanoseconds now, Nanoseconds limit);

    Session& session_;
    const Clock& clock_;
    const PumpOptions options_;
    std::vector<Slot> slots_;
    std::vector<std::vector<std::uint32_t>> free_;  ///< per queue: indices of idle slots
    std::uint64_t sequence_ = 0;
    std::uint32_t in_flight_ = 0;
};

}  // namespace blktap::replay
