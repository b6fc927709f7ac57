// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RequestEngine: serves the rings of one connected frontend from one open image. Everything happens in turns: one turn
// takes requests from every ring, judges them, fetches what guests want written, hands all I/O to the kernel in one
// call, reaps what has finished, delivers what was read and answers. docs/ARCHITECTURE.md walks through it step by
// step.
//
// A request is in one place at a time, and moves along these lists:
//
//   take -> taken_ -> order_ (barriers) -> ordered_ -> ranges_ -> ranged_ -> memory_ -> fetching_ -> starting_
//        -> the driver -> delivering_ -> its queue's answers            (or parked_, held_, postponed_ on the way)
//
// All of it runs on the loop's thread, never blocks, and allocates nothing after construction.
//
// Tested by tests/unit/tapdisk/request_engine_test.cpp, tests/property/engine_model_test.cpp,
// tests/fuzz/fuzz_conversation.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/clock.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/ring/judge.hpp"
#include "tapdisk/connection_queue.hpp"
#include "tapdisk/engine_stats.hpp"
#include "tapdisk/guest_data.hpp"
#include "tapdisk/range_guard.hpp"
#include "tapdisk/recovery_log.hpp"
#include "tapdisk/request_slot.hpp"
#include "tapdisk/storage_policy.hpp"
#include "tapdisk/write_order.hpp"

namespace blktap {

class TraceRecorder;

class RequestEngine {
  public:
    struct Options {
        ring::DeviceRules rules{};
        GuestData::Options data{};
    };
    enum class Next : std::uint8_t { wait, turn_again };
    /// Requests that are not answered because the storage lacks something: parked, or being tried again.
    struct Waiting {
        std::size_t for_space = 0;
        std::size_t for_health = 0;  ///< of storage that answered with an error

        friend bool operator==(const Waiting&, const Waiting&) = default;
    };

    /// Requests taken from one ring, and completions of them all, in one turn. Few, so that the disk has the first
    /// while the next are still being taken and completions do not wait behind them (docs/decisions/0010).
    static constexpr std::uint32_t queue_budget = 4;
    /// Requests that one turn lets claim their range or start, at most: the end of one may let thousands go on, and the
    /// loop must get to its control socket and its signals in between.
    static constexpr std::size_t turn_budget = 64;

    /// All references outlive the engine. `queues` is not empty. Errors: throws std::bad_alloc or std::system_error.
    RequestEngine(IoQueue& io, xen::GrantTable& grants, const Clock& clock, std::vector<ConnectionQueue> queues,
                  RecoveryLog log, const Options& options);
    RequestEngine(const RequestEngine&) = delete;
    RequestEngine& operator=(const RequestEngine&) = delete;
    /// idle() must be true, or only what the recovery log keeps for a successor may be left.
    ~RequestEngine();

    /// One turn. turn_again: more can be done without waiting for anything.
    Next turn() noexcept;
    /// Asks every frontend to wake us for its next request. True: one is there already, do not sleep.
    bool rearm() noexcept;
    /// The last turn answered requests: the guest may well send its next ones at once.
    bool answered() const noexcept { return answered_; }
    /// A cheap look for polling: a request or a completion is waiting.
    bool work_waiting() const noexcept;

    /// Serves from `driver` from now on; it outlives the engine or its replacement. Starts what waited for an image.
    void set_image(ImageDriver& driver) noexcept;
    /// Takes no more requests and starts nothing; what the driver has is finished. quiet() tells when.
    void pause() noexcept;
    /// Forgets the driver; only when quiet(). Until set_image() requests wait.
    void clear_image() noexcept;

    /// Takes no more requests; finishes those taken.
    void stop_taking() noexcept { taking_ = false; }
    /// The frontend is leaving: as stop_taking(), and what waits for space or for an image is answered with an error.
    void close() noexcept;
    /// The frontend is leaving and may have sent requests that it waits for: until close(), its rings are emptied. Each
    /// request is served or, with `fail` or without an image, answered with an error, as is what waits already.
    void drain(bool fail) noexcept;
    /// Notifies every frontend, answers or none.
    void wake_frontends() noexcept;
    /// The driver has nothing and no answer is unwritten; parked, held and postponed requests may be left.
    bool quiet() const noexcept;
    /// Every request taken was answered.
    bool idle() const noexcept;

    /// How long requests wait for the storage, and for what, from now on.
    void set_policy(const StoragePolicy& policy) noexcept { policy_ = policy; }
    /// The device is larger than it was; never smaller.
    void set_size(std::uint64_t size_sectors) noexcept { rules_.size_sectors = size_sectors; }
    /// Tries what was parked again.
    void retry_parked() noexcept;
    std::size_t parked_count() const noexcept { return parked_.size(); }
    const Waiting& waiting() const noexcept { return waiting_; }
    /// When the first of waiting() was parked first; the clock's now when there is none. Looks at every request.
    Nanoseconds waiting_since() const noexcept;
    std::size_t held_flush_count() const noexcept { return held_.size(); }
    std::size_t in_flight() const noexcept { return live_.size() + held_.size(); }
    /// Requests taken from all rings since the beginning.
    std::uint64_t taken() const noexcept { return next_sequence_ - 1; }

    /// A flush failed and was not accepted as lost: flushes are held. Survives set_image().
    bool flush_failed() const noexcept { return flush_failed_; }
    void set_flush_failed() noexcept { flush_failed_ = true; }
    /// Writes are refused because a flush failed; ends with set_image().
    bool writes_refused() const noexcept { return writes_refused_; }
    void refuse_writes() noexcept { writes_refused_ = true; }
    /// A file of the image became shorter under us: what is behind its new end is lost, and a write there would bring
    /// zeros in its place. Everything fails, or waits by the policy, and flushes wait; ends with set_image().
    bool image_cut() const noexcept { return image_cut_; }
    void set_image_cut() noexcept { image_cut_ = true; }
    /// The operator accepts the loss: held flushes are answered with an error, later ones are served again.
    void accept_loss() noexcept;

    /// Every request from now on is noted in `recorder` (null: none), which outlives its use here.
    void set_recorder(TraceRecorder* recorder) noexcept { recorder_ = recorder; }

    /// Gives memory that nothing uses back to the kernel; no-op while requests are under way.
    void trim() noexcept;

    const EngineStats& stats() const noexcept { return stats_; }
    const GuestData& guest_data() const noexcept { return guest_; }
    const std::vector<ConnectionQueue>& queues() const noexcept { return queues_; }
    RecoveryLog& log() noexcept { return log_; }

  private:
    // request_engine.cpp: the turn, and its steps up to the driver
    void take_requests() noexcept;
    void take(ConnectionQueue& queue) noexcept;
    bool takes() const noexcept;
    void fetch_descriptors() noexcept;
    std::error_code judge_descriptors(RequestSlot& slot) noexcept;
    void accept(RequestSlot& slot) noexcept;
    void reject(RequestSlot& slot, std::error_code error) noexcept;
    void claim_ranges() noexcept;
    bool refuse(RequestSlot& slot) noexcept;
    bool discards_nothing(const RequestSlot& slot) const noexcept;
    void refuse_of_cut_image(RequestSlot& slot) noexcept;
    void ready(RequestSlot& slot) noexcept;
    void give_memory() noexcept;
    void fetch_written_data() noexcept;
    void start_requests() noexcept;
    void start(RequestSlot& slot) noexcept;
    void submit() noexcept;

    // engine_control.cpp: images, and the end
    void begin_again() noexcept;
    void fail_stranded() noexcept;
    void abandon_waiting() noexcept;

    // engine_completion.cpp: from the driver to the answer
    static void on_complete(ImageRequest& image, std::error_code error) noexcept;
    void completed(RequestSlot& slot, std::error_code error) noexcept;
    void failed(RequestSlot& slot, std::error_code error) noexcept;
    RequestSlot::Lack lack_of(const RequestSlot& slot, std::error_code error) const noexcept;
    void park(RequestSlot& slot, RequestSlot::Lack lack) noexcept;
    void count_waiting(RequestSlot& slot, RequestSlot::Lack lack) noexcept;
    void hold(RequestSlot& slot) noexcept;
    void leave_order(RequestSlot& slot) noexcept;
    void deliver_read_data() noexcept;
    void finish(RequestSlot& slot, std::error_code error) noexcept;
    void answer() noexcept;
    void answer(ConnectionQueue& queue) noexcept;
    void count(const RequestSlot& slot) noexcept;
    void note_turn(const EngineStats& before, std::uint64_t submits_before, Nanoseconds began) noexcept;
    bool can_go_on() const noexcept;

    IoQueue& io_;
    const Clock& clock_;
    ring::DeviceRules rules_;
    StoragePolicy policy_;
    RecoveryLog log_;
    std::vector<ConnectionQueue> queues_;
    GuestData guest_;
    ImageDriver* driver_ = nullptr;
    std::uint32_t write_alignment_bytes_ = sector_size_bytes;
    TraceRecorder* recorder_ = nullptr;

    LiveList live_;  ///< consumed and unfinished, in order of consumption
    StageList taken_, ordered_, ranged_, memory_, fetching_, starting_, delivering_;
    StageList postponed_;  ///< would start, but the image is paused
    StageList parked_;     ///< the storage lacks something: tried again later
    StageList held_;       ///< flushes that must not be answered, since one failed
    WriteOrder order_;
    RangeGuard ranges_;

    std::uint64_t next_sequence_ = 1;
    std::size_t first_queue_ = 0;  ///< the turn begins with another queue each time
    std::size_t in_driver_ = 0;
    Waiting waiting_;
    bool taking_ = true;
    bool paused_ = true;
    bool closing_ = false;
    bool failing_ = false;           ///< every request is answered with an error that the driver does not have
    bool answered_ = false;          ///< in this turn
    bool memory_exhausted_ = false;  ///< the first of memory_ waits until another request ends
    bool more_requests_ = false;
    bool writes_refused_ = false;
    bool flush_failed_ = false;
    bool image_cut_ = false;
    EngineStats stats_;
};

}  // namespace blktap
