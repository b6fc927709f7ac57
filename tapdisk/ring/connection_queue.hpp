// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ConnectionQueue: one ring of a connected frontend with its signal to the frontend, its request slots and its part of
// the recovery log.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "libblktap/driver_api/scratch_memory.hpp"
#include "libblktap/ipc/messages.hpp"
#include "libblktap/ring/back_ring.hpp"
#include "tapdisk/ring/peer_signal.hpp"
#include "tapdisk/ring/recovery_log.hpp"
#include "tapdisk/ring/request_slot.hpp"

namespace blktap {

class ConnectionQueue {
  public:
    /// `pages` are the ring's, already mapped, and outlive this; the ring reads them as `protocol` says.
    ConnectionQueue(std::span<std::byte> pages, PeerSignal signal, ring::Protocol protocol)
        : signal_(std::move(signal)), ring_(pages, protocol) {}
    ConnectionQueue(ConnectionQueue&&) noexcept = default;

    /// Makes the slots, each with its place in the tables, for `client`. Once, before the first request.
    void make_slots(DiskClient& client, std::uint16_t queue_index, RecoveryLog::Queue& log);
    /// Goes on with the ring as `log`, of a tapdisk that died, says; calls `take(RequestSlot&)` for each request that
    /// it had taken and not answered. After make_slots(). A ring that is not as the log says is stopped.
    void adopt(const std::function<void(RequestSlot&)>& take);

    /// Gives each slot its scratch for requests to `driver`, until clear_image(). Errors: throws std::bad_alloc.
    void set_image(ImageDriver& driver);
    void clear_image() noexcept { scratch_.reset(); }

    /// Takes a free slot; there is one for each request that the ring can hold.
    RequestSlot& take_slot() noexcept;
    /// Writes the response of a finished request; publish() makes it visible and frees the slot.
    void answer(RequestSlot& slot) noexcept;
    bool has_answers() const noexcept { return !publishing_.empty(); }
    /// Makes the answers visible, then frees their slots in the log. Returns true if the frontend was notified.
    bool publish() noexcept;

    /// Gives `slot`, which holds an indirect request, its larger tables; returns the room for its descriptors.
    std::span<ring::Segment> use_large_tables(RequestSlot& slot, std::size_t segment_count) noexcept;
    void trim() noexcept;

    ring::BackRing& ring() noexcept { return ring_; }
    const ring::BackRing& ring() const noexcept { return ring_; }
    PeerSignal& signal() noexcept { return signal_; }
    RecoveryLog::Queue& log() noexcept { return *log_; }

  private:
    PeerSignal signal_;
    ring::BackRing ring_;
    RecoveryLog::Queue* log_ = nullptr;
    std::unique_ptr<RequestSlot[]> slots_;
    std::unique_ptr<ScratchMemory> scratch_;  ///< of all slots, while there is an image
    std::vector<std::uint16_t> free_slots_;
    std::vector<std::uint16_t> publishing_;  ///< slots whose answers are not visible yet
    LazyArray<ring::Segment> large_segments_;
    LazyArray<iovec> large_iovecs_;
    LazyArray<PageRun> large_runs_;
};

/// Returns the layout of the slots of a frontend's rings. Errors: throws Errc::bad_message.
ring::Protocol ring_protocol(const ipc::ConnectArguments& frontend);

}  // namespace blktap
