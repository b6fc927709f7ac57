// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/xen_transport.hpp"

#include <algorithm>
#include <string>
#include <sys/epoll.h>

namespace blktap {
namespace {

std::string describe(std::size_t queue, const ipc::ConnectArguments& frontend) {
    return "domain " + std::to_string(frontend.domain) + ", queue " + std::to_string(queue);
}

}  // namespace

XenTransport::XenTransport(const ipc::ConnectArguments& frontend, xen::KeptHandles& handles)
    : handles_(handles.lend(frontend.domain)), channel_count_(frontend.queues.size()) {
    const ring::Protocol protocol = ring_protocol(frontend);
    pages_.reserve(channel_count_);
    queues_.reserve(channel_count_);
    masked_.reserve(channel_count_);
    for (const ipc::QueueArguments& queue : frontend.queues) {
        auto pages = handles_->grants.map(frontend.domain, queue.ring_refs, xen::PageAccess::read_write);
        if (!pages) {
            std::string refs;
            for (const std::uint32_t ref : queue.ring_refs)
                refs += (refs.empty() ? "" : ",") + std::to_string(ref);
            throw_error(pages.error(), describe(queues_.size(), frontend) + ": mapping the ring's grants " + refs);
        }
        pages_.push_back(std::move(pages).value());
        queues_.emplace_back(
            pages_.back().bytes(),
            PeerSignal(xen::EventChannel::bind_interdomain(handles_->events, frontend.domain, queue.event_channel)),
            protocol);
    }
    const std::size_t slots = channel_count_ * queues_.front().ring().slot_count();
    const std::size_t pages_max = std::min(slots * PersistentGrants::pages_per_slot, PersistentGrants::pages_max);
    memory_.emplace(handles_->grants, frontend.domain, frontend.persistent ? pages_max : 0);
}

std::uint32_t XenTransport::epoll_events() const noexcept {
    return EPOLLIN;
}

void XenTransport::take_events() noexcept {
    // With one channel a second call would return nothing; with more, several may have fired.
    do {
        const auto port = handles_->events.pending();
        if (!port) break;
        if (std::ranges::find(masked_, *port) == masked_.end()) masked_.push_back(*port);
    } while (masked_.size() < channel_count_);
}

void XenTransport::rearm_events() noexcept {
    for (const xen::Port port : masked_)
        handles_->events.unmask(port);
    masked_.clear();
}

}  // namespace blktap
