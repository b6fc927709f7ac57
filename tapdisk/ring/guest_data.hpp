// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// GuestData: how a request's data gets between the guest's pages and the driver's iovecs.
//
// Two ways, chosen per request. In place: the guest's pages are mapped already, persistent grants or local memory, and
// the driver reads and writes them there. By copy: the data is packed into pooled pages, so that the driver sees whole
// aligned pages however the guest cut its segments, and all requests of a turn share one grant copy. Descriptor pages
// of indirect requests are read in the same two ways.
//
// Tested by tests/unit/tapdisk/ring/guest_data_test.cpp.
#pragma once

#include <cstdint>
#include <span>

#include "libblktap/base/mapping.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "tapdisk/ring/page_pool.hpp"
#include "tapdisk/ring/peer_memory.hpp"
#include "tapdisk/ring/request_slot.hpp"

namespace blktap {

class GuestData {
  public:
    struct Options {
        bool direct_io_safe = false;  ///< the toolstack vouches for a network file system
    };
    enum class Prepared : std::uint8_t { in_place, by_copy, no_memory };

    /// `memory` outlives this object. Allocates all it will need.
    GuestData(PeerMemory& memory, const Options& options);

    /// Adapts to the alignment of the image's storage; called when an image is opened.
    void set_image(const ImageInfo& info) noexcept;

    /// Gives the request of `slot` memory and fills slot.image.data. no_memory: wait until another request ends.
    Prepared prepare(RequestSlot& slot) noexcept;
    /// Takes the memory back.
    void release(RequestSlot& slot) noexcept;

    /// Batches of copies: add slots, run copy_all() once, then ask for the result of each slot in the order of adding.
    /// A batch has only one direction and is never larger than the pool, so it cannot overflow.
    void add_copy(RequestSlot& slot) noexcept;
    /// Adds the descriptor page of an indirect request, to be copied into `segments`.
    void add_descriptors(RequestSlot& slot, std::span<ring::Segment> segments) noexcept;
    void copy_all() noexcept;
    /// Returns the result of the next added slot: an error if one of its pieces failed.
    std::error_code next_copy_result(const RequestSlot& slot) noexcept;

    /// Reads descriptors through a page that stays mapped. Returns false if that is not possible: copy instead.
    bool read_mapped_descriptors(const RequestSlot& slot, std::span<ring::Segment> segments) noexcept;

    std::uint64_t copy_calls() const noexcept { return copy_calls_; }
    std::uint64_t copied_pieces() const noexcept { return copied_pieces_; }
    std::size_t mapped_grants() const noexcept { return memory_.mapped_grants(); }
    bool unused() const noexcept { return pool_.unused(); }
    /// Gives idle memory back to the kernel; only while unused().
    void trim() noexcept;

  private:
    bool map_in_place(RequestSlot& slot) noexcept;
    bool reachable_in_place(const RequestSlot& slot) const noexcept;
    void release_pages(RequestSlot& slot, std::size_t count) noexcept;
    void build_pooled_iovecs(RequestSlot& slot) noexcept;
    void add_piece(RequestSlot& slot, const ring::Segment& segment, std::uint32_t offset, std::byte* local,
                   std::uint32_t length) noexcept;

    PeerMemory& memory_;
    const Options options_;
    PagePool pool_;
    bool in_place_allowed_ = false;
    std::uint32_t memory_alignment_bytes_ = sector_size_bytes;

    LazyArray<xen::CopySegment> pieces_;
    std::size_t piece_count_ = 0;
    std::size_t piece_checked_ = 0;
    std::error_code copy_error_{};
    std::uint64_t copy_calls_ = 0;
    std::uint64_t copied_pieces_ = 0;
};

}  // namespace blktap
