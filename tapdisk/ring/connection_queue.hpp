// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ConnectionQueue: one ring of a connected frontend with all that belongs to it: its mapped pages, its event channel,
// its request slots and its part of the recovery log.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "libblktap/ipc/messages.hpp"
#include "libblktap/ring/back_ring.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "tapdisk/ring/recovery_log.hpp"
#include "tapdisk/ring/request_slot.hpp"

namespace blktap {

class ConnectionQueue {
  public:
    /// `pages` are the ring's, already mapped; the ring reads them as `protocol` says.
    ConnectionQueue(xen::GuestPages pages, xen::EventChannel channel, ring::Protocol protocol);
    ConnectionQueue(ConnectionQueue&&) noexcept = default;

    /// Makes the slots, each with its place in the tables, for `client`. Once, before the first request.
    void make_slots(DiskClient& client, std::uint16_t queue_index, RecoveryLog::Queue& log);

    /// A free slot; there is one for each request that the ring can hold.
    RequestSlot& take_slot() noexcept;
    /// Writes the response of a request that is over; publish() makes it visible and frees the slot.
    void answer(RequestSlot& slot) noexcept;
    bool has_answers() const noexcept { return !publishing_.empty(); }
    /// Makes the answers visible, and the log forget what they answer. True: the frontend was notified.
    bool publish() noexcept;

    /// Room for the descriptors of an indirect request in `slot`; makes its larger tables the slot's.
    std::span<ring::Segment> use_large_tables(RequestSlot& slot, std::size_t segment_count) noexcept;
    void trim() noexcept;

    ring::BackRing& ring() noexcept { return ring_; }
    const ring::BackRing& ring() const noexcept { return ring_; }
    xen::EventChannel& channel() noexcept { return channel_; }
    RecoveryLog::Queue& log() noexcept { return *log_; }

  private:
    xen::GuestPages pages_;
    xen::EventChannel channel_;
    ring::BackRing ring_;
    RecoveryLog::Queue* log_ = nullptr;
    std::unique_ptr<RequestSlot[]> slots_;
    std::vector<std::uint16_t> free_slots_;
    std::vector<std::uint16_t> publishing_;  ///< slots whose answers are not visible yet
    LazyArray<ring::Segment> large_segments_;
    LazyArray<iovec> large_iovecs_;
    LazyArray<PageRun> large_runs_;
};

/// Maps and binds the rings of `frontend`. Errors: throws std::system_error whose text names the queue, page, grant or
/// port; nothing stays mapped or bound.
std::vector<ConnectionQueue> map_queues(xen::GrantTable& grants, xen::EventChannelHandle& events,
                                        const ipc::ConnectArguments& frontend);

}  // namespace blktap
