// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/connection.hpp"

#include <utility>

#include "tapdisk/ring/local_transport.hpp"
#include "tapdisk/ring/xen_transport.hpp"

namespace blktap {
namespace {

std::unique_ptr<RingTransport> make_transport(const ipc::ConnectArguments& frontend, UniqueFd memory) {
    if (frontend.local) return std::make_unique<LocalTransport>(frontend, std::move(memory));
    return std::make_unique<XenTransport>(frontend);
}

}  // namespace

Connection::Connection(EventLoop& loop, Scheduler& scheduler, Options options)
    : frontend_(std::move(options.frontend)), transport_(make_transport(frontend_, std::move(options.memory))) {
    std::vector<ConnectionQueue> queues = transport_->take_queues();
    const auto queue_count = static_cast<std::uint32_t>(queues.size());
    const std::uint32_t slots = queues.front().ring().slot_count();
    client_.emplace(scheduler, transport_->memory(), std::move(queues),
                    RecoveryLog(std::move(options.log_file), queue_count, slots),
                    RingClient::Options{options.rules, {.direct_io_safe = frontend_.direct_io_safe}});
    watch_.emplace(loop, transport_->event_fd(), transport_->epoll_events(), [this](std::uint32_t) { note_events(); });
}

Connection::~Connection() = default;

/// Notes that events arrived. The turn that follows takes them after it has passed on the requests, which saves these
/// requests a system call. If no turn followed the last note, takes the events here, so that the loop does not spin.
void Connection::note_events() noexcept {
    if (std::exchange(events_waiting_, true)) take_events();
}

void Connection::take_events() noexcept {
    events_waiting_ = false;
    ++wakeups_;
    transport_->take_events();
}

bool Connection::before_sleep() noexcept {
    if (events_waiting_) take_events();
    transport_->rearm_events();
    return client_->rearm();
}

}  // namespace blktap
