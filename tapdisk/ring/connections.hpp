// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connections: all connections to one disk, and their turns. One turn takes requests from every ring of every
// connection, lets the scheduler bring them to the disk in one call, reaps completions and answers.
//
// Tested by tests/unit/tapdisk/disk/request_engine_test.cpp, tests/unit/tapdisk/idle_test.cpp,
// tests/unit/tapdisk/ring/connections_test.cpp.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "tapdisk/ring/connection.hpp"
#include "tapdisk/ring/poller.hpp"

namespace blktap {

class Connections {
  public:
    /// Completions in one turn, so that answers do not wait behind many (docs/decisions/0010).
    static constexpr std::size_t reap_budget = 4;
    using List = std::vector<std::unique_ptr<Connection>>;

    /// `poll_max` 0: no polling. All references outlive the object.
    Connections(const Clock& clock, IoQueue& io, Scheduler& scheduler, Nanoseconds poll_max) noexcept
        : clock_(clock), io_(io), scheduler_(scheduler), poller_(clock, poll_max) {}
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    /// Runs turns while there is something to do, within limits. If it returns `sleep`, wake-ups are armed.
    EventLoop::Next turn() noexcept;

    Connection& add(std::unique_ptr<Connection> connection);
    /// The client of `connection` must be quiet().
    void remove(const Connection& connection) noexcept;
    /// Returns the connection of this name; null if there is none.
    Connection* find(std::string_view name) const noexcept;
    const List& list() const noexcept { return list_; }
    /// Whether one of them has its recovery log in `file`.
    bool keep_log_in(const UniqueFd& file) const noexcept;
    bool empty() const noexcept { return list_.empty(); }

    /// Hands the requests of adopted rings to the scheduler, in the order in which the dead tapdisk took them: before
    /// new requests are taken, and before a connection ends.
    void readmit_adopted() noexcept;
    /// The first image of a successor is open, and the device has this size.
    void recovered(std::uint64_t size_sectors) noexcept;

    /// Whether all answers are written, and the scheduler has passed every request to the driver that it could.
    bool quiet() const noexcept;
    /// Number of unanswered requests.
    std::size_t in_flight() const noexcept;

    const TurnStats& stats() const noexcept { return stats_; }
    const Poller& poller() const noexcept { return poller_; }

  private:
    bool turn_once() noexcept;
    bool work_waiting() const noexcept;
    bool before_sleep() noexcept;

    const Clock& clock_;
    IoQueue& io_;
    Scheduler& scheduler_;
    Poller poller_;
    List list_;
    bool answered_ = false;  ///< the last turn answered: the guest may send its next requests at once
    TurnStats stats_;
};

}  // namespace blktap
