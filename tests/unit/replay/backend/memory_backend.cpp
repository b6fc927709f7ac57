// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One thread between connect() and disconnect(); it owns every handle. It wakes up each millisecond to see whether it
// is to stop, which is good enough here.
#include "tests/unit/replay/backend/memory_backend.hpp"

#include <cstring>
#include <poll.h>

#include "tests/fakexen/control.hpp"
#include "tests/replay/failure.hpp"

namespace blktap::replay {

Connected MemoryBackend::connect(const ipc::ConnectArguments& rings, const std::vector<int>&) {
    ++connects;
    connected_with = rings;
    rules.size_sectors = disk.size() / sector_size_bytes;
    stopping_ = false;
    thread_ = std::thread([this, rings] { serve(rings); });

    ipc::DeviceDescription device;
    device.size_sectors = rules.size_sectors;
    device.read_only = rules.read_only;
    device.discard = rules.discard;
    device.indirect_segments_max = rules.indirect_segments_max;
    return {device};
}

void MemoryBackend::disconnect() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
}

bool MemoryBackend::check() {
    throw BackendGone("the memory backend went away");
}

void MemoryBackend::serve(const ipc::ConnectArguments& arguments) {
    const fakexen::ActAs me{domain};
    xen::GrantTable grants;
    xen::EventChannelHandle events;
    grants_ = &grants;
    std::vector<Queue> queues;
    for (const ipc::QueueArguments& queue : arguments.queues) {
        auto pages = grants.map(arguments.domain, queue.ring_refs, xen::PageAccess::read_write).value();
        ring::BackRing ring(pages.bytes(), *ring::parse_protocol(arguments.protocol));
        queues.push_back({std::move(pages), ring,
                          xen::EventChannel::bind_interdomain(events, arguments.domain, queue.event_channel)});
    }
    while (!stopping_) {
        while (const auto port = events.pending())
            events.unmask(*port);
        bool again = false;
        for (Queue& queue : queues) {
            serve_queue(queue);
            again |= !queue.ring.stopped() && queue.ring.rearm();
        }
        pollfd event{events.fd(), POLLIN, 0};
        if (!again) ::poll(&event, 1, 1);
    }
}

void MemoryBackend::serve_queue(Queue& queue) {
    const auto pending = queue.ring.pending_requests();
    if (!pending) return;
    for (std::uint32_t i = 0; i < pending.value(); ++i) {
        const ring::RawRequest request = queue.ring.consume();
        if (answer_nothing) continue;
        ring::Response response{request.id, request.response_operation(), serve_request(request)};
        change_answer(response);
        queue.ring.put_response(response);
    }
    if (!queue.ring.has_unpublished()) return;
    const bool wanted = queue.ring.publish();
    if (answer_too_often) {
        ring::SharedIndex(queue.pages.bytes().data() + ring::response_producer_offset)
            .store(queue.ring.responses_published() + 1, std::memory_order_seq_cst);
    }
    if (wanted) queue.channel.notify();
}

ring::Status MemoryBackend::serve_request(const ring::RawRequest& request) {
    auto judged = ring::judge(request, rules);
    if (!judged)
        return judged.error() == Errc::unsupported_operation ? ring::Status::not_supported : ring::Status::error;
    std::vector<ring::Segment> segments(request.segments.begin(), request.segments.end());
    if (judged.value().needs_descriptors) {
        const auto page = grants_->map(guest, std::span(request.indirect_refs).first(1), xen::PageAccess::read_write);
        if (!page) return ring::Status::error;
        segments.resize(request.segment_count);
        std::memcpy(segments.data(), page.value().bytes().data(), segments.size() * sizeof(ring::Segment));
        judged = ring::judge_indirect(request, segments, rules);
        if (!judged) return ring::Status::error;
    }
    if (judged.value().operation == ring::Operation::discard || skip_data(judged.value())) return ring::Status::okay;
    segments.resize(judged.value().segment_count);
    return move_data(judged.value(), segments) ? ring::Status::error : ring::Status::okay;
}

std::error_code MemoryBackend::move_data(const ring::Judged& judged, std::span<const ring::Segment> segments) {
    const bool read = judged.operation == ring::Operation::read;
    const std::uint64_t first = (judged.range.first + shift_sector(judged)) % rules.size_sectors;
    std::byte* at = disk.data() + first * sector_size_bytes;
    for (const ring::Segment& segment : segments) {
        const auto access = read ? xen::PageAccess::read_write : xen::PageAccess::read_only;
        const auto page = grants_->map(guest, std::span(&segment.gref, 1), access);
        if (!page) return page.error();
        std::byte* data = page.value().bytes().data() + segment.first_sector * sector_size_bytes;
        const std::size_t size_bytes = segment.sector_count() * sector_size_bytes;
        if (read) {
            std::memcpy(data, at, size_bytes);
        } else {
            std::memcpy(at, data, size_bytes);
        }
        at += size_bytes;
    }
    return {};
}

}  // namespace blktap::replay
