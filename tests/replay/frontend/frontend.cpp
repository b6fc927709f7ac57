// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/frontend/frontend.hpp"

#include "libblktap/base/assert.hpp"

namespace blktap::replay {
namespace {

std::unique_ptr<FrontendHost> make_host(const FrontendOptions& options) {
    if (options.local) return std::make_unique<LocalHost>();
    return std::make_unique<GuestHost>(options.backend_domain);
}

}  // namespace

Frontend::Frontend(const FrontendOptions& options) : options_(options), host_(make_host(options)) {
    BLKTAP_ASSERT(options.queue_count >= 1 && options.queue_count <= ipc::queues_max);
    BLKTAP_ASSERT(options.ring_order <= ring_order_max);
    queues_.reserve(options.queue_count);
    for (unsigned queue = 0; queue < options.queue_count; ++queue) {
        const FrontendPages pages = host_->share(1u << options.ring_order, xen::PageAccess::read_write);
        queues_.push_back({pages, ring::FrontRing(pages.bytes(), options.protocol), host_->add_queue()});
    }
}

ipc::ConnectArguments Frontend::connect_arguments() const {
    ipc::ConnectArguments arguments;
    arguments.domain = options_.domain;
    arguments.protocol = ring::protocol_name(options_.protocol);
    arguments.persistent = options_.persistent;
    arguments.discard_enabled = options_.discard_enabled;
    arguments.local = options_.local;
    for (const Queue& queue : queues_) {
        const auto refs = queue.pages.refs();
        arguments.queues.push_back({{refs.begin(), refs.end()}, queue.port});
    }
    return arguments;
}

void Frontend::publish(unsigned queue) noexcept {
    if (queues_[queue].ring.publish()) host_->notify(queue);
}

bool Frontend::rearm() noexcept {
    bool answered = false;
    for (Queue& queue : queues_)
        answered |= queue.ring.rearm();
    return answered;
}

}  // namespace blktap::replay
