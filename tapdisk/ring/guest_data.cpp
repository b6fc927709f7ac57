// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/guest_data.hpp"

#include <algorithm>
#include <cstring>

#include "libblktap/base/assert.hpp"

namespace blktap {
namespace {

// A segment is at least one sector and is cut at most once for each page border it crosses, so a full pool of the
// smallest segments, or a turn's worth of descriptor pages, fits.
constexpr std::size_t pieces_max = PagePool::page_count * (sectors_per_page + 1);

}  // namespace

GuestData::GuestData(PeerMemory& memory, const Options& options)
    : memory_(memory), options_(options), pieces_(pieces_max) {}

void GuestData::set_image(const ImageInfo& info) noexcept {
    in_place_allowed_ = memory_.can_map() && (info.zero_copy_safe || options_.direct_io_safe);
    memory_alignment_bytes_ = info.memory_alignment_bytes;
}

GuestData::Prepared GuestData::prepare(RequestSlot& slot) noexcept {
    BLKTAP_ASSERT(slot.memory == RequestSlot::Memory::none);
    if (in_place_allowed_ && map_in_place(slot)) return Prepared::in_place;
    const std::size_t pages = round_up(slot.range.length_bytes(), page_size_bytes) / page_size_bytes;
    slot.run_count = static_cast<std::uint16_t>(pool_.take(pages, slot.runs));
    if (slot.run_count == 0) return Prepared::no_memory;
    slot.memory = RequestSlot::Memory::pooled;
    build_pooled_iovecs(slot);
    return Prepared::by_copy;
}

void GuestData::release(RequestSlot& slot) noexcept {
    if (slot.memory == RequestSlot::Memory::pooled) pool_.give_back(slot.runs.first(slot.run_count));
    if (slot.memory == RequestSlot::Memory::mapped) release_pages(slot, slot.segments.size());
    slot.memory = RequestSlot::Memory::none;
    slot.run_count = 0;
    slot.image.data = {};
}

/// Looks each page up once: the slot keeps its entry until the page is released.
bool GuestData::map_in_place(RequestSlot& slot) noexcept {
    if (!reachable_in_place(slot)) return false;
    std::size_t count = 0;
    for (std::size_t i = 0; i < slot.segments.size(); ++i) {
        const ring::Segment& segment = slot.segments[i];
        const PeerMemory::Page page = memory_.acquire(segment.gref);
        if (page.address == nullptr) {
            release_pages(slot, i);
            return false;
        }
        slot.runs[i] = {page.entry, 1};
        std::byte* start = page.address + segment.first_sector * std::size_t{sector_size_bytes};
        const std::size_t length = segment.sector_count() * std::size_t{sector_size_bytes};
        iovec* last = count > 0 ? &slot.iovecs[count - 1] : nullptr;
        if (last != nullptr && static_cast<std::byte*>(last->iov_base) + last->iov_len == start) {
            last->iov_len += length;
        } else {
            slot.iovecs[count++] = {start, length};
        }
    }
    slot.memory = RequestSlot::Memory::mapped;
    slot.image.data = slot.iovecs.first(count);
    return true;
}

void GuestData::release_pages(RequestSlot& slot, std::size_t count) noexcept {
    for (const PageRun& mapped : slot.runs.first(count))
        memory_.release(mapped.first);
}

bool GuestData::reachable_in_place(const RequestSlot& slot) const noexcept {
    if (memory_alignment_bytes_ == sector_size_bytes) return true;
    return std::ranges::all_of(slot.segments, [this](const ring::Segment& segment) {
        return is_aligned(std::uint64_t{segment.first_sector} * sector_size_bytes, memory_alignment_bytes_) &&
               is_aligned(std::uint64_t{segment.sector_count()} * sector_size_bytes, memory_alignment_bytes_);
    });
}

void GuestData::build_pooled_iovecs(RequestSlot& slot) noexcept {
    std::size_t left = slot.range.length_bytes();
    for (std::size_t i = 0; i < slot.run_count; ++i) {
        const std::span<std::byte> bytes = pool_.bytes(slot.runs[i]);
        const std::size_t length = std::min(left, bytes.size());
        slot.iovecs[i] = {bytes.data(), length};
        left -= length;
    }
    BLKTAP_ASSERT(left == 0);
    slot.image.data = slot.iovecs.first(slot.run_count);
}

void GuestData::add_piece(RequestSlot& slot, const ring::Segment& segment, std::uint32_t offset, std::byte* local,
                          std::uint32_t length) noexcept {
    BLKTAP_ASSERT(piece_count_ < pieces_.size());
    xen::CopySegment& piece = pieces_[piece_count_++];
    const auto offset16 = static_cast<std::uint16_t>(offset);
    const auto length16 = static_cast<std::uint16_t>(length);
    if (slot.reads()) {
        xen::set_copy_to_guest(piece, memory_.domain(), segment.gref, offset16, local, length16);
    } else {
        xen::set_copy_from_guest(piece, memory_.domain(), segment.gref, offset16, local, length16);
    }
    ++slot.copy_count;
}

void GuestData::add_copy(RequestSlot& slot) noexcept {
    BLKTAP_ASSERT(slot.memory == RequestSlot::Memory::pooled);
    slot.copy_count = 0;
    std::size_t run = 0;
    std::size_t run_offset = 0;
    for (const ring::Segment& segment : slot.segments) {
        std::uint32_t offset = segment.first_sector * sector_size_bytes;
        std::uint32_t left = segment.sector_count() * sector_size_bytes;
        while (left > 0) {
            const std::span<std::byte> bytes = pool_.bytes(slot.runs[run]);
            const auto page_left = static_cast<std::uint32_t>(page_size_bytes - run_offset % page_size_bytes);
            const std::uint32_t length = std::min(left, page_left);
            add_piece(slot, segment, offset, bytes.data() + run_offset, length);
            offset += length;
            left -= length;
            run_offset += length;
            if (run_offset == bytes.size()) {
                ++run;
                run_offset = 0;
            }
        }
    }
}

void GuestData::add_descriptors(RequestSlot& slot, std::span<ring::Segment> segments) noexcept {
    // One page holds more descriptors than are offered, so one piece is enough.
    static_assert(ring::segments_indirect_max <= ring::segments_per_indirect_page);
    BLKTAP_ASSERT(piece_count_ < pieces_.size());
    xen::set_copy_from_guest(pieces_[piece_count_++], memory_.domain(), slot.raw->indirect_refs[0], 0, segments.data(),
                             static_cast<std::uint16_t>(segments.size_bytes()));
    slot.copy_count = 1;
}

void GuestData::copy_all() noexcept {
    copy_error_ = {};
    if (piece_count_ == 0) return;
    copy_error_ = memory_.copy(pieces_.span().first(piece_count_));
    ++copy_calls_;
    copied_pieces_ += piece_count_;
    piece_checked_ = 0;
    piece_count_ = 0;
}

std::error_code GuestData::next_copy_result(const RequestSlot& slot) noexcept {
    bool okay = true;
    for (std::size_t i = 0; i < slot.copy_count; ++i)
        okay = pieces_[piece_checked_++].status == 0 && okay;
    if (copy_error_) return copy_error_;
    return okay ? std::error_code{} : Errc::grant_denied;
}

bool GuestData::read_mapped_descriptors(const RequestSlot& slot, std::span<ring::Segment> segments) noexcept {
    if (!memory_.can_map()) return false;
    const xen::GrantRef ref = slot.raw->indirect_refs[0];
    const PeerMemory::Page page = memory_.acquire(ref);
    if (page.address == nullptr) return false;
    // The guest may write meanwhile; the bytes that arrive in `segments` are the ones that are judged and used.
    std::memcpy(segments.data(), page.address, segments.size_bytes());
    memory_.release(page.entry);
    return true;
}

void GuestData::trim() noexcept {
    BLKTAP_ASSERT(unused());
    pool_.trim();
    pieces_.trim();
}

}  // namespace blktap
