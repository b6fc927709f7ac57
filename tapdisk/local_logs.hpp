// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// LocalLogs: files of the controller for the recovery logs of local rings. The program at such a ring must not have its
// log, so the controller gives the files in advance, and gives them to the next tapdisk when this one has died
// (docs/decisions/0030). That one awaits the rings whose logs it finds there: their programs come back by themselves.
//
// Tested by tests/unit/tapdisk/local_logs_test.cpp, tests/unit/tapdisk/ring/local_recovery_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tapdisk/ring/recovery_log.hpp"

namespace blktap {

class LocalLogs {
  public:
    /// How long guests wait for rings that are to come back, from recover on. A program that lives notices the death at
    /// once and needs some milliseconds; one that hangs must not hold up the guests.
    static constexpr Nanoseconds patience = std::chrono::seconds(1);
    struct Hooks {
        /// Whether a connected ring has its log in this file.
        std::function<bool(const UniqueFd& file)> in_use;
        /// Called from the loop, if wait() has returned true: no ring is waited for any more.
        std::function<void()> complete;
    };
    struct GivenUp {
        std::uint64_t rings = 0;
        std::uint64_t requests = 0;
    };

    LocalLogs(EventLoop& loop, Hooks hooks);

    /// Takes files for the logs of later rings, and empties them. A file that is here already is not taken twice.
    void keep(std::vector<UniqueFd> files);
    /// Takes the files of a tapdisk that died, and awaits the rings that have a log in them. Returns what these logs
    /// keep about the storage.
    std::vector<StorageHealth::Kept> await(std::vector<UniqueFd> files);

    /// Returns a file for the log of new rings, or none. An awaited ring with the same arguments has begun anew.
    UniqueFd file_for(const ipc::ConnectArguments& rings);
    /// Returns the log of rings that come back. Errors: throws Errc::wrong_state: they are not awaited.
    UniqueFd find(const ipc::ConnectArguments& rings) const;
    /// Call when rings have come back, or have left in order: empties the files that nothing uses.
    void look();

    /// Whether there are rings to wait for: with unanswered requests, and not for longer than `patience`. If true,
    /// `complete` is called when they have come, or the time is over; else nothing is waited for.
    bool wait();
    void stop_waiting() noexcept { timer_.disarm(); }
    /// Gives up the awaited rings with unanswered requests: what comes next would overtake these.
    void give_up();

    bool has(const UniqueFd& file) const noexcept;
    /// For "stats".
    ipc::Json stats() const;

  private:
    struct Awaited {
        LogIdentity identity;
        std::size_t unanswered = 0;
    };
    struct Slot {
        UniqueFd file;
        std::optional<Awaited> awaited{};
    };
    bool add(UniqueFd& file);
    bool is_free(const Slot& slot) const { return !slot.awaited && !hooks_.in_use(slot.file); }
    static bool is_owing(const Slot& slot) noexcept { return slot.awaited && slot.awaited->unanswered > 0; }

    EventLoop& loop_;
    const Hooks hooks_;
    std::vector<Slot> slots_;
    Nanoseconds deadline_{0};
    GivenUp given_up_;
    EventLoop::Timer timer_;
};

}  // namespace blktap
