// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/machine/sim_guest.hpp"

#include <algorithm>
#include <cstring>

#include "libblktap/base/assert.hpp"
#include "tests/support/model_disk.hpp"

namespace blktap::testing {
namespace {

/// Returns the bytes of the `index`-th segment.
std::span<std::byte> segment_bytes(const GuestBuffer& buffer, std::size_t index) {
    const ring::Segment& segment = buffer.segments[index];
    return buffer.memory.subspan(index * page_size_bytes + segment.first_sector * std::size_t{sector_size_bytes},
                                 segment.sector_count() * std::size_t{sector_size_bytes});
}

}  // namespace

std::uint64_t GuestBuffer::sector_count() const {
    std::uint64_t count = 0;
    for (const ring::Segment& segment : segments)
        count += segment.sector_count();
    return count;
}

void GuestBuffer::put(std::span<const std::byte> data) {
    BLKTAP_ASSERT(data.size() == sector_count() * sector_size_bytes);
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto part = segment_bytes(*this, i);
        std::memcpy(part.data(), data.data(), part.size());
        data = data.subspan(part.size());
    }
}

std::vector<std::byte> GuestBuffer::get() const {
    std::vector<std::byte> data;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto part = segment_bytes(*this, i);
        data.insert(data.end(), part.begin(), part.end());
    }
    return data;
}

void GuestBuffer::fill(std::uint64_t sector, std::uint64_t stamp) {
    std::vector<std::byte> data(sector_count() * sector_size_bytes);
    ModelDisk::fill(at(sector), stamp, data);
    put(data);
}

GuestBuffer SimGuest::buffer(const std::vector<Shape>& shapes, xen::PageAccess access) {
    if (!shares_) {
        const fakexen::ActAs guest{guest_domain};
        shares_.emplace();
    }
    const auto page_count = static_cast<std::uint32_t>(shapes.size());
    const xen::SharedPages& shared = memory_.emplace_back(*shares_, xen::DomainId{0}, page_count + 1, access);
    const std::size_t size_bytes = page_count * page_size_bytes;
    GuestBuffer buffer{shared.bytes().first(size_bytes), {}, shared.bytes().subspan(size_bytes), shared.refs().back()};
    for (std::size_t i = 0; i < shapes.size(); ++i)
        buffer.segments.push_back({shared.refs()[i], shapes[i].first, shapes[i].last, 0});
    return buffer;
}

ring::RawRequest GuestRequests::transfer(ring::Operation operation, std::uint64_t id, std::uint64_t sector,
                                         const GuestBuffer& data) {
    if (data.segments.size() > ring::segments_direct_max) return indirect(operation, id, sector, data);
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(operation);
    request.id = id;
    request.sector_number = sector;
    request.segment_count = static_cast<std::uint16_t>(data.segments.size());
    std::ranges::copy(data.segments, request.segments.begin());
    return request;
}

ring::RawRequest GuestRequests::read(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data) {
    return transfer(ring::Operation::read, id, sector, data);
}

ring::RawRequest GuestRequests::write(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data) {
    return transfer(ring::Operation::write, id, sector, data);
}

ring::RawRequest GuestRequests::barrier(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data) {
    return transfer(ring::Operation::write_barrier, id, sector, data);
}

ring::RawRequest GuestRequests::indirect(ring::Operation operation, std::uint64_t id, std::uint64_t sector,
                                         const GuestBuffer& data) {
    std::memcpy(data.descriptors.data(), data.segments.data(), std::span(data.segments).size_bytes());
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(ring::Operation::indirect);
    request.indirect_operation = static_cast<std::uint8_t>(operation);
    request.id = id;
    request.sector_number = sector;
    request.segment_count = static_cast<std::uint16_t>(data.segments.size());
    request.indirect_refs = {};
    request.indirect_refs[0] = data.descriptors_ref;
    return request;
}

ring::RawRequest GuestRequests::flush(std::uint64_t id) {
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(ring::Operation::flush_diskcache);
    request.id = id;
    request.sector_number = ~std::uint64_t{0};  // as Linux leaves it
    return request;
}

ring::RawRequest GuestRequests::discard(std::uint64_t id, SectorRange range) {
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(ring::Operation::discard);
    request.id = id;
    request.sector_number = range.first;
    request.discard_sectors = range.count;
    return request;
}

void SimGuest::put(const ring::RawRequest& request, unsigned queue) {
    BLKTAP_ASSERT(!answers_.contains(request.id));
    BLKTAP_ASSERT(unanswered_.emplace(request.id, request.response_operation()).second);
    frontend_->ring(queue).put_request(request);
}

void SimGuest::send(const ring::RawRequest& request, unsigned queue) {
    put(request, queue);
    publish(queue);
}

void SimGuest::take_answers() {
    if (!frontend_) return;
    frontend_->acknowledge();
    for (unsigned queue = 0; queue < frontend_->queue_count(); ++queue) {
        for (;;) {
            const auto response = frontend_->take(queue);
            BLKTAP_ASSERT(response.has_value());
            if (!response.value()) break;
            const auto request = unanswered_.find(response.value()->id);
            BLKTAP_ASSERT(request != unanswered_.end());
            BLKTAP_ASSERT(request->second == response.value()->operation);
            unanswered_.erase(request);
            answers_[response.value()->id] = *response.value();
        }
    }
    (void)frontend_->rearm();
}

std::optional<ring::Status> SimGuest::answer(std::uint64_t id) const {
    const auto found = answers_.find(id);
    return found == answers_.end() ? std::nullopt : std::optional(found->second.status);
}

std::vector<std::uint64_t> SimGuest::unanswered_ids() const {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, operation] : unanswered_)
        ids.push_back(id);
    return ids;
}

void SimGuest::make_frontend(const replay::FrontendOptions& options) {
    forget_frontend();
    replay::FrontendOptions ours = options;
    ours.domain = guest_domain;
    ours.backend_domain = 0;
    const fakexen::ActAs guest{guest_domain};
    frontend_.emplace(ours);
}

void SimGuest::forget_frontend() {
    frontend_.reset();
    unanswered_.clear();
    answers_.clear();
}

void SimGuest::guest_vanishes() {
    forget_frontend();
    memory_.clear();
    shares_.reset();
}

}  // namespace blktap::testing
