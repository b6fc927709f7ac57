// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SimGuest: a guest (domain 5) of a simulated Xen, with pages, rings, and a memory of what it asked and was answered.
// Each answer is checked when it is taken: it must be to an unanswered request, with its operation.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "libblktap/base/units.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/replay/frontend/frontend.hpp"

namespace blktap::testing {

/// Sectors [first, last] of one page.
struct Shape {
    std::uint8_t first = 0;
    std::uint8_t last = sectors_per_page - 1;
};

/// Granted pages of the guest, and the segments that name sectors of them: one segment a page.
struct GuestBuffer {
    std::span<std::byte> memory{};
    std::vector<ring::Segment> segments{};
    /// One more page, for the descriptors of an indirect request around this buffer.
    std::span<std::byte> descriptors{};
    xen::GrantRef descriptors_ref = 0;

    std::uint64_t sector_count() const;
    /// Spreads `data`, as long as all segments, over them; or collects it from them.
    void put(std::span<const std::byte> data);
    std::vector<std::byte> get() const;
    /// put() of ModelDisk's bytes for `stamp` at `sector`.
    void fill(std::uint64_t sector, std::uint64_t stamp);
    SectorRange at(std::uint64_t sector) const { return {sector, sector_count()}; }
};

/// Requests as a frontend puts them into a ring.
class GuestRequests {
  public:
    /// Makes a direct request with at most 11 segments, else an indirect one.
    static ring::RawRequest transfer(ring::Operation operation, std::uint64_t id, std::uint64_t sector,
                                     const GuestBuffer& data);
    static ring::RawRequest read(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data);
    static ring::RawRequest write(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data);
    static ring::RawRequest barrier(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data);
    /// Makes an indirect request, however few segments `data` has.
    static ring::RawRequest indirect(ring::Operation operation, std::uint64_t id, std::uint64_t sector,
                                     const GuestBuffer& data);
    static ring::RawRequest flush(std::uint64_t id);
    static ring::RawRequest discard(std::uint64_t id, SectorRange range);
};

class SimGuest : public GuestRequests {
  public:
    static constexpr xen::DomainId guest_domain = 5;

    SimGuest() = default;
    SimGuest(const SimGuest&) = delete;
    SimGuest& operator=(const SimGuest&) = delete;

    fakexen::World& world() { return world_; }
    replay::Frontend& frontend() { return *frontend_; }

    // Its memory. It lasts until the guest vanishes, even after its frontend.

    GuestBuffer buffer(const std::vector<Shape>& shapes, xen::PageAccess access = xen::PageAccess::read_write);
    GuestBuffer pages(std::size_t count) { return buffer(std::vector<Shape>(count)); }

    // Traffic.

    /// Puts a request into the ring, not yet visible to tapdisk.
    void put(const ring::RawRequest& request, unsigned queue = 0);
    void publish(unsigned queue = 0) { frontend_->publish(queue); }
    void send(const ring::RawRequest& request, unsigned queue = 0);
    /// Returns the status that answered `id`, if any.
    std::optional<ring::Status> answer(std::uint64_t id) const;
    bool answered(std::uint64_t id) const { return answers_.contains(id); }
    std::size_t unanswered() const { return unanswered_.size(); }
    std::vector<std::uint64_t> unanswered_ids() const;
    /// Forgets the answers, so that ids may be used again.
    void forget_answers() { answers_.clear(); }

    /// Replaces the frontend by a new one with these options, not connected.
    void make_frontend(const replay::FrontendOptions& options);
    /// Removes all pages and ports of the guest.
    void guest_vanishes();

  protected:
    ~SimGuest() = default;
    void take_answers();

  private:
    void forget_frontend();

    fakexen::World world_;
    std::optional<xen::ShareHandle> shares_;
    std::deque<xen::SharedPages> memory_;
    std::optional<replay::Frontend> frontend_;
    std::map<std::uint64_t, std::uint8_t> unanswered_;  ///< the operation that the answer must name
    std::map<std::uint64_t, ring::Response> answers_;
};

}  // namespace blktap::testing
