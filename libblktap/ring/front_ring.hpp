// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FrontRing: the frontend's half of a blkif ring, for ring-replay and for tests. Unlike a real frontend it can also
// misbehave on purpose.
//
// Tested by tests/unit/ring/front_ring_test.cpp, back_ring_test.cpp, ring_order_test.cpp and abi_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "libblktap/base/error.hpp"
#include "libblktap/ring/request.hpp"
#include "libblktap/ring/shared_ring.hpp"

namespace blktap::ring {

class FrontRing {
  public:
    /// Initialises the shared indices. `pages` is contiguous, 1 to 16 pages, and outlives this object.
    FrontRing(std::span<std::byte> pages, Protocol protocol) noexcept;

    std::uint32_t slot_count() const noexcept { return shared_.slot_count; }
    bool full() const noexcept { return request_private_ - response_consumed_ == shared_.slot_count; }
    /// Requests put and not yet answered.
    std::uint32_t in_flight() const noexcept { return request_private_ - response_consumed_; }

    /// Writes a request into the next slot; only when not full().
    void put_request(const RawRequest& request) noexcept;
    /// Makes the written requests visible. Returns true if the backend asked to be woken for one of them.
    [[nodiscard]] bool publish() noexcept;

    /// Returns the next response, if one is there.
    /// Errors: Errc::ring_overrun when the backend answered more requests than there were.
    Result<std::optional<Response>> take_response() noexcept;
    /// Asks to be woken for the next response, then checks once more. Returns true if one is already there.
    [[nodiscard]] bool rearm() noexcept;
    bool response_waiting() const noexcept;

    /// Hostile: stores `value` as the request producer, whatever was put.
    void force_request_producer(std::uint32_t value) noexcept;
    /// Hostile: returns a slot's bytes, to be overwritten.
    std::span<std::byte> slot_bytes(std::uint32_t index) noexcept;
    std::uint32_t requests_put() const noexcept { return request_private_; }

  private:
    SharedRing shared_;
    std::uint32_t request_private_ = 0;
    std::uint32_t request_published_ = 0;
    std::uint32_t response_consumed_ = 0;
};

}  // namespace blktap::ring
