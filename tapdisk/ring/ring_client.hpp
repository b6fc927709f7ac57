// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RingClient: one frontend's rings as a client of the disk. It takes requests, judges them, fetches data to write,
// delivers data that was read and answers; every request is in the recovery log from the moment it is taken until its
// answer is visible. The Scheduler does the rest. docs/ARCHITECTURE.md walks through the path step by step.
//
//   ring -> taken_ (descriptors) -> the scheduler -> wanting_ (memory) -> fetching_ (data to write) -> the scheduler
//        -> finished_ -> ring
//
// Tested by tests/unit/tapdisk/disk/request_engine_test.cpp, tests/unit/tapdisk/ring/engine_log_test.cpp,
// malformed_request_test.cpp.
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
        bool adopt = false;  ///< the log is that of a tapdisk that died, and the rings go on where it was
    };

    /// Requests taken from one ring in one turn. Few, so that the disk gets the first while the next are still being
    /// taken, and completions do not wait behind them (docs/decisions/0010).
    static constexpr std::uint32_t queue_budget = 4;

    /// All references outlive the client. `queues` is not empty. Errors: throws std::bad_alloc or std::system_error.
    RingClient(Scheduler& scheduler, PeerMemory& memory, std::vector<ConnectionQueue> queues, RecoveryLog log,
               const Options& options);
    /// quiet() must be true: only what the recovery log keeps for a successor may be left.
    ~RingClient();

    // The rings of a tapdisk that died.

    /// What that had taken and not answered, in no order; readmit() each, before the first take().
    StageList& adopted() noexcept { return adopted_; }
    /// Judges a request of adopted() again, which is out of that list, and hands it to the scheduler; or answers it
    /// with an error. In order of the sequence, over all clients of the disk.
    void readmit(DiskRequest& request) noexcept;
    /// For the next tapdisk.
    void keep(const StorageHealth::Kept& health) noexcept { log_.keep(health); }
    StorageHealth::Kept kept() const noexcept { return log_.kept(); }
    bool keeps_log_in(const UniqueFd& file) const noexcept { return log_.is_in(file); }

    // The turn.

    /// Takes requests from every ring and hands them to the scheduler.
    void take() noexcept;
    /// Gives requests their memory, and fetches the data of writes into it.
    void provide() noexcept;
    /// Delivers data that was read and answers. Returns true if a request was answered.
    bool answer() noexcept;
    /// Whether more can be done without waiting for an event.
    bool can_go_on() const noexcept {
        return more_requests_ || (!wanting_.empty() && !starved_ && !scheduler_.paused());
    }

    /// Asks the frontend for a wake-up at its next request. Returns true if one is there already: do not sleep.
    bool rearm() noexcept;
    /// For polling, and cheap: whether a request is in a ring.
    bool request_waiting() const noexcept;

    // The end.

    /// Takes no more requests; requests that were taken are finished.
    void stop_taking() noexcept { taking_ = false; }
    /// The frontend is leaving: as stop_taking(), and requests that wait for space or for an image get an error.
    void close() noexcept;
    /// The frontend is leaving and may wait for requests that it has sent: until close(), its rings are drained. Each
    /// request is served or, with `fail` or without an image, answered with an error, as are requests that wait
    /// already.
    void drain(bool fail) noexcept { scheduler_.drain(*this, fail); }
    /// Notifies the frontend on every ring, whether or not there are answers.
    void wake_frontend() noexcept;
    /// Whether all answers are written, and no request waits for memory unless the disk is paused.
    bool quiet() const noexcept { return finished_.empty() && (scheduler_.paused() || wanting_.empty()); }
    /// Whether every request that was taken has been answered.
    bool idle() const noexcept { return unfinished() == 0 && finished_.empty(); }

    /// The device has grown to `size_sectors`; it never shrinks.
    void set_size(std::uint64_t size_sectors) noexcept { rules_.size_sectors = size_sectors; }
    /// From now on every request is recorded in `recorder` (null: none), which outlives its use here.
    void set_recorder(TraceRecorder* recorder) noexcept { recorder_ = recorder; }
    /// Gives memory that nothing uses back to the kernel; no-op while requests are under way.
    void trim() noexcept;

    const RingStats& stats() const noexcept { return stats_; }
    const GuestData& guest_data() const noexcept { return guest_; }
    const std::vector<ConnectionQueue>& queues() const noexcept { return queues_; }

  private:
    bool takes() const noexcept;
    void take(ConnectionQueue& queue) noexcept;
    [[gnu::always_inline]] void enter(ConnectionQueue& queue, RequestSlot& slot) noexcept;  ///< on every request's path
    void fetch_descriptors() noexcept;
    std::error_code judge_descriptors(RequestSlot& slot) noexcept;
    [[gnu::always_inline]] void accept(RequestSlot& slot) noexcept;
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
    StageList adopted_;
    StageList taken_;              ///< indirect requests that need descriptors, and all requests taken after them
    StageList fetching_;           ///< writes whose data is to be fetched
    std::size_t first_queue_ = 0;  ///< the queue with which the next turn begins
    bool taking_ = true;
    bool more_requests_ = false;
    RingStats stats_;
    TurnMost before_;  ///< the counters when the turn began
};

}  // namespace blktap
