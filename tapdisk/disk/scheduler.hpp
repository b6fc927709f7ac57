// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Scheduler: brings the requests of all clients of one disk to the driver and back, in the order that the promises
// about data need: barriers, overlapping ranges, flushes that failed, storage that is full or broken, images that come
// and go. Where requests wait for each other is Stages, which of them wait for the storage Parking. It knows neither
// where requests come from nor where their data lies.
//
// A turn is the clients' and the scheduler's together. A request is in one place at a time:
//
//   admit -> stages_ (barriers) -> ordered -> (overlapping requests) -> ranged -> its client's wanting_ (memory)
//         -> starting -> the driver -> its client's finished_            (or parking_, postponed on the way)
//
// All of it runs on the loop's thread, never blocks, and allocates only where a client joins.
//
// Tested by tests/unit/tapdisk/disk/request_engine_test.cpp, tests/unit/tapdisk/ring/connections_test.cpp,
// tests/unit/tapdisk/disk/leaving_test.cpp, tests/property/engine_model_test.cpp, tests/fuzz/fuzz_conversation.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/clock.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "tapdisk/disk/disk_request.hpp"
#include "tapdisk/disk/parking.hpp"
#include "tapdisk/disk/scheduler_stats.hpp"
#include "tapdisk/disk/stages.hpp"
#include "tapdisk/disk/storage_health.hpp"

namespace blktap {

class Scheduler {
  public:
    /// Requests that one turn lets claim their range or start, at most: the end of one may let thousands go on, and the
    /// loop must get to its control socket and its signals in between.
    static constexpr std::size_t turn_budget = 64;

    /// All references outlive the scheduler.
    Scheduler(IoQueue& io, const Clock& clock, StorageHealth& health) noexcept
        : io_(io), clock_(clock), health_(health), parking_(clock, health) {}
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;
    /// No client is left.
    ~Scheduler();

    // Clients.

    /// `client` may send requests, until leave(). `given`: a tapdisk that died gave the sequences up to this one.
    /// Errors: throws std::bad_alloc; it has not joined then.
    void join(DiskClient& client, std::uint64_t given = 0);
    /// The driver has none of its requests; those that are parked, held or postponed are forgotten: whoever has their
    /// recovery log answers them.
    void leave(DiskClient& client) noexcept;
    /// For the next request that a client takes, before it is admitted.
    std::uint64_t next_sequence() noexcept { return ++sequence_; }
    /// How many sequences were given: how many requests were taken.
    std::uint64_t taken() const noexcept { return sequence_; }
    /// Takes a judged request, whose `kind`, `range` and `sequence` are set. In order of the sequence.
    void admit(DiskRequest& request) noexcept;
    /// `request`, out of its client's wanting_, has its memory and what is to be written.
    void begin(DiskRequest& request) noexcept { stages_.starting.push_back(request); }
    /// `request`, out of its client's wanting_, cannot be served. Also for the scheduler's own use.
    void finish(DiskRequest& request, std::error_code error) noexcept;

    /// The client is leaving and sends no more: what waits for space or for an image is answered with an error.
    void close(DiskClient& client) noexcept;
    /// The client is leaving and may send more until close(): each request is served or, with `fail` or without an
    /// image, answered with an error, as is what waits for the storage already.
    void drain(DiskClient& client, bool fail) noexcept;

    // The turn: claim(), then the clients give memory, then run(), then the clients answer.

    /// Lets requests go on to their range, as far as order allows.
    void claim() noexcept;
    /// Starts requests and submits them in one call; passes on what has finished, `reaped_max` requests at most.
    void run(std::size_t reaped_max) noexcept;
    /// More can be done without waiting for anything.
    bool can_go_on() const noexcept;

    // Images.

    /// Serves from `driver` from now on; it outlives its use here. Starts what waited for an image. Errors: throws
    /// std::bad_alloc; there is no image then, as before.
    void set_image(ImageDriver& driver);
    /// Starts nothing; what the driver has is finished. quiet() tells when.
    void pause() noexcept { paused_ = true; }
    bool paused() const noexcept { return paused_; }
    /// Forgets the driver; only when quiet(). Until set_image() requests wait.
    void clear_image() noexcept;
    /// The driver has nothing and would be given nothing; parked, held and postponed requests may be left.
    bool quiet() const noexcept;

    // The storage.

    /// Tries what was parked again.
    void retry_parked() noexcept;
    /// The loss was accepted: answers held flushes with an error.
    void release_held() noexcept;
    /// For how long the first of those waits that were parked for the storage; 0: none waits. Looks at every request.
    Nanoseconds oldest_wait() const noexcept;
    Parking& parking() noexcept { return parking_; }
    const Parking& parking() const noexcept { return parking_; }

    const SchedulerStats& stats() const noexcept { return stats_; }

  private:
    bool refuse(DiskRequest& request) noexcept;
    void claim_range(DiskRequest& request) noexcept;
    void ready(DiskRequest& request) noexcept;
    void start(DiskRequest& request) noexcept;
    void submit() noexcept;
    static void on_complete(ImageRequest& image, std::error_code error, Retry retry) noexcept;
    void completed(DiskRequest& request, std::error_code error, Retry retry) noexcept;
    void failed(DiskRequest& request, std::error_code error, Retry retry) noexcept;
    void park(DiskRequest& request, Lack lack) noexcept;
    void hold(DiskRequest& request) noexcept;
    void clear_clients() noexcept;
    void begin_again() noexcept;
    void fail_stranded(DiskClient& client) noexcept;
    void abandon_waiting(DiskClient& client) noexcept;
    void free_stuck() noexcept;

    IoQueue& io_;
    const Clock& clock_;
    StorageHealth& health_;
    ImageDriver* driver_ = nullptr;
    std::uint32_t write_alignment_bytes_ = sector_size_bytes;
    bool fua_ = false;  ///< of the image: its writes can be durable without a flush
    std::vector<DiskClient*> clients_;

    Stages stages_;
    Parking parking_;

    std::uint64_t sequence_ = 0;
    std::size_t in_driver_ = 0;
    bool paused_ = true;
    bool regrouping_ = false;  ///< starts nothing until the driver has nothing: see free_stuck()
    SchedulerStats stats_;
};

}  // namespace blktap
