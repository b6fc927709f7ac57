// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BackRing: the backend's half of a blkif ring over memory that a hostile guest writes. It copies requests out, writes
// responses in, and decides when the frontend must be woken. It knows no grant, no event channel and no disk.
//
// Memory order (Xen's io/ring.h states the barriers; why release is not enough is in docs/decisions/0004): the response
// producer is stored seq_cst before the response event is read, and the request event is stored seq_cst before the
// request producer is read for the last time. With a release store x86 may move the load before the store, both
// sides conclude that the other one is awake, and the disk stops.
//
// Tested by tests/unit/ring/back_ring_test.cpp, ring_order_test.cpp (two threads) and abi_test.cpp (Xen's own macros).
#pragma once

#include <cstdint>
#include <span>

#include "libblktap/base/error.hpp"
#include "libblktap/ring/request.hpp"
#include "libblktap/ring/shared_ring.hpp"

namespace blktap::ring {

class BackRing {
  public:
    /// Attaches to a ring whose frontend has initialised it. `pages` is the mapped ring, contiguous, 1 to 16 pages, and
    /// outlives this object. Starts at the frontend's current response producer: a fresh ring has 0 there.
    BackRing(std::span<std::byte> pages, Protocol protocol) noexcept;

    /// Continues for a backend that died after it had taken the requests up to `consumed`, of which `unanswered` have
    /// no answer yet. Call before all other functions. Returns false, and changes nothing, if the numbers cannot belong
    /// to this ring.
    [[nodiscard]] bool adopt(std::uint32_t consumed, std::uint32_t unanswered) noexcept;

    std::uint32_t slot_count() const noexcept { return shared_.slot_count; }

    /// Returns the number of waiting requests, from one load of the producer index.
    /// Errors: Errc::ring_overrun when the producer is more than a ring ahead of the answered requests; the ring is
    /// then stopped for good: no request is consumed any more. A frontend that does this is broken or hostile.
    Result<std::uint32_t> pending_requests() noexcept;
    /// Copies the next request out and advances. Only if pending_requests() has counted it.
    RawRequest consume() noexcept;

    /// Writes a response into the next free slot; publish() makes it visible. Only for consumed requests.
    void put_response(const Response& response) noexcept;
    /// Makes the written responses visible. Returns true if the frontend asked to be woken for one of them.
    [[nodiscard]] bool publish() noexcept;
    bool has_unpublished() const noexcept { return response_private_ != response_published_; }

    /// Asks to be woken for the next request, then checks once more. Returns true, and the caller must not sleep, if a
    /// request is already there (or the ring was overrun, which the next pending_requests() reports).
    [[nodiscard]] bool rearm() noexcept;
    /// For polling, and cheap: whether the producer has moved past the consumed requests.
    bool request_waiting() const noexcept;

    bool stopped() const noexcept { return stopped_; }
    /// Takes nothing from it any more.
    void stop() noexcept { stopped_ = true; }
    /// Free-running indices, for the recovery log.
    std::uint32_t consumed() const noexcept { return request_consumed_; }
    std::uint32_t responses_put() const noexcept { return response_private_; }
    std::uint32_t responses_published() const noexcept { return response_published_; }

  private:
    SharedRing shared_;
    std::uint32_t request_consumed_;
    std::uint32_t response_private_;
    std::uint32_t response_published_;
    bool stopped_ = false;
};

}  // namespace blktap::ring
