// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RingClient: one frontend's rings as a client of the disk. It takes requests, judges them, fetches what is to be
// written, delivers what was read and answers; every request is in its recovery log from the moment it is taken until
// its answer is visible. What happens between is the Scheduler's. docs/ARCHITECTURE.md walks through it step by step.
//
//   ring -> taken_ (descriptors) -> the scheduler -> wanting_ (memory) -> fetching_ (data to write) -> the scheduler
//        -> finished_ -> ring
//
// Tested by tests/unit/tapdisk/request_engine_test.cpp, engine_log_test.cpp, malformed_request_test.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "libblktap/ring/judge.hpp"
#include "tapdisk/disk/scheduler.hpp"
#include "tapdisk/ring/connection_queue.hpp"
#include "tapdisk/ring/guest_data.hpp"
#include "tapdisk/ring/recovery_log.hpp"
#include "tapdisk/ring/ring_stats.hpp"

namespace blktap {

class TraceRecorder;

class RingClient final : public DiskClient {
  public:
    struct Options {
        ring::DeviceRules rules{};
        GuestData::Options data{};
    };

    /// Requests taken from one ring in one turn. Few, so that the disk has the first while the next are still being
    /// taken and completions do not wait behind them (docs/decisions/0010).
    static constexpr std::uint32_t queue_budget = 4;

    /// All references outlive the client. `queues` is not empty. Errors: throws std::bad_alloc or std::system_error.
    RingClient(Scheduler& scheduler, PeerMemory& memory, std::vector<ConnectionQueue> queues, RecoveryLog log,
               const Options& options);
    /// quiet() must be true: only what the recovery log keeps for a successor may be left.
    ~RingClient();

    // The turn.

    /// Takes requests from every ring and hands them to the scheduler.
    void take() noexcept;
    /// Gives requests their memory, and what is to be written in it.
    void provide() noexcept;
    /// Delivers what was read and answers. True: the frontend was answered something.
    bool answer() noexcept;
    /// More can be done without waiting for anything.
    bool can_go_on() const noexcept {
        return more_requests_ || (!wanting_.empty() && !starved_ && !scheduler_.paused());
    }

    /// Asks the frontend to wake us for its next request. True: one is there already, do not sleep.
    bool rearm() noexcept;
    /// A cheap look for polling.
    bool request_waiting() const noexcept;

    // The end.

    /// Takes no more requests; finishes those taken.
    void stop_taking() noexcept { taking_ = false; }
    /// The frontend is leaving: as stop_taking(), and what waits for space or for an image is answered with an error.
    void close() noexcept;
    /// The frontend is leaving and may have sent requests that it waits for: until close(), its rings are emptied. Each
    /// request is served or, with `fail` or without an image, answered with an error, as is what waits already.
    void drain(bool fail) noexcept { scheduler_.drain(*this, fail); }
    /// Notifies the frontend on every ring, answers or none.
    void wake_frontend() noexcept;
    /// No answer is unwritten, and nothing waits for memory unless the disk is paused.
    bool quiet() const noexcept { return finished_.empty() && (scheduler_.paused() || wanting_.empty()); }
    /// Every request taken was answered.
    bool idle() const noexcept { return unfinished() == 0 && finished_.empty(); }

    /// The device is larger than it was; never smaller.
    void set_size(std::uint64_t size_sectors) noexcept { rules_.size_sectors = size_sectors; }
    /// Every request from now on is noted in `recorder` (null: none), which outlives its use here.
    void set_recorder(TraceRecorder* recorder) noexcept { recorder_ = recorder; }
    /// Gives memory that nothing uses back to the kernel; no-op while requests are under way.
    void trim() noexcept;

    const RingStats& stats() const noexcept { return stats_; }
    const GuestData& guest_data() const noexcept { return guest_; }
    const std::vector<ConnectionQueue>& queues() const noexcept { return queues_; }

  private:
    bool takes() const noexcept;
    void take(ConnectionQueue& queue) noexcept;
    void fetch_descriptors() noexcept;
    std::error_code judge_descriptors(RequestSlot& slot) noexcept;
    void accept(RequestSlot& slot) noexcept;
    void reject(RequestSlot& slot, std::error_code error) noexcept;
    void fetch_written_data() noexcept;
    void answer_finished() noexcept;
    void deliver_read_data() noexcept;
    void count(const RequestSlot& slot) noexcept;
    void note_turn() noexcept;
    void set_image(ImageDriver& driver) override;
    void clear_image() noexcept override;
    void take_memory_back(DiskRequest& request) noexcept override;

    Scheduler& scheduler_;
    ring::DeviceRules rules_;
    RecoveryLog log_;
    std::vector<ConnectionQueue> queues_;
    GuestData guest_;
    TraceRecorder* recorder_ = nullptr;
    StageList taken_;              ///< indirect requests, whose descriptors are to be fetched, and what came after them
    StageList fetching_;           ///< writes whose data is to be fetched
    std::size_t first_queue_ = 0;  ///< the turn begins with another queue each time
    bool taking_ = true;
    bool more_requests_ = false;
    RingStats stats_;
    TurnMost before_;  ///< the counters when the turn began
};

}  // namespace blktap
