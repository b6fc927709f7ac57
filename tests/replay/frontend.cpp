// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A queue is one ring and one event channel; all channels of a frontend signal one descriptor.
#include "tests/replay/frontend.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap::replay {

Frontend::Queue::Queue(xen::ShareHandle& grants, xen::EventChannelHandle& events, const FrontendOptions& options)
    : pages(grants, options.backend_domain, 1u << options.ring_order, xen::PageAccess::read_write),
      ring(pages.bytes(), options.protocol),
      channel(xen::EventChannel::bind_unbound(events, options.backend_domain)) {}

Frontend::Frontend(const FrontendOptions& options) : options_(options) {
    BLKTAP_ASSERT(options.queue_count >= 1 && options.queue_count <= ipc::queues_max);
    BLKTAP_ASSERT(options.ring_order <= ring_order_max);
    queues_.reserve(options.queue_count);
    for (unsigned queue = 0; queue < options.queue_count; ++queue)
        queues_.emplace_back(grants_, events_, options_);
}

ipc::ConnectArguments Frontend::connect_arguments() const {
    ipc::ConnectArguments arguments;
    arguments.domain = options_.domain;
    arguments.protocol = ring::protocol_name(options_.protocol);
    arguments.persistent = options_.persistent;
    arguments.discard_enabled = options_.discard_enabled;
    for (const Queue& queue : queues_) {
        const auto refs = queue.pages.refs();
        arguments.queues.push_back({{refs.begin(), refs.end()}, queue.channel.port()});
    }
    return arguments;
}

const xen::SharedPages& Frontend::share(std::uint32_t page_count, xen::PageAccess access) {
    return shared_.emplace_back(grants_, options_.backend_domain, page_count, access);
}

void Frontend::publish(unsigned queue) noexcept {
    if (queues_[queue].ring.publish()) queues_[queue].channel.notify();
}

bool Frontend::rearm() noexcept {
    bool answered = false;
    for (Queue& queue : queues_)
        answered |= queue.ring.rearm();
    return answered;
}

void Frontend::acknowledge() noexcept {
    // One look per channel and no last one that finds nothing: with one queue that would double the system calls.
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        const auto port = events_.pending();
        if (!port) return;
        events_.unmask(*port);
    }
}

}  // namespace blktap::replay
