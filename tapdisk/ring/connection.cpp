// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/connection.hpp"

#include <algorithm>
#include <utility>

namespace blktap {

Connection::Connection(EventLoop& loop, Scheduler& scheduler, Options options)
    : frontend_(std::move(options.frontend)) {
    std::vector<ConnectionQueue> queues = map_queues(grants_, events_, frontend_);
    const auto queue_count = static_cast<std::uint32_t>(queues.size());
    const std::uint32_t slots = queues.front().ring().slot_count();
    RingClient::Options client_options;
    client_options.rules = options.rules;
    client_options.data.domain = frontend_.domain;
    if (frontend_.persistent) {
        client_options.data.persistent_pages_max =
            std::min(std::size_t{queue_count} * slots * PersistentGrants::pages_per_slot, PersistentGrants::pages_max);
    }
    client_options.data.direct_io_safe = frontend_.direct_io_safe;
    masked_.reserve(queue_count);
    client_.emplace(scheduler, grants_, std::move(queues), RecoveryLog(std::move(options.log_file), queue_count, slots),
                    client_options);
    watch_.emplace(loop, events_.fd(), EPOLLIN, [this](std::uint32_t) { note_events(); });
}

Connection::~Connection() = default;

/// The turn that follows takes them, when it has passed on the requests that they announce: a system call less in these
/// requests' way. Where none follows they must not be announced without end.
void Connection::note_events() noexcept {
    if (std::exchange(events_waiting_, true)) take_events();
}

void Connection::take_events() noexcept {
    events_waiting_ = false;
    ++wakeups_;
    // With one channel a second look would only find nothing; with more they may have fired together.
    do {
        const auto port = events_.pending();
        if (!port) break;
        if (std::ranges::find(masked_, *port) == masked_.end()) masked_.push_back(*port);
    } while (masked_.size() < client_->queues().size());
}

void Connection::unmask() noexcept {
    for (const xen::Port port : masked_)
        events_.unmask(port);
    masked_.clear();
}

bool Connection::before_sleep() noexcept {
    if (events_waiting_) take_events();
    unmask();
    return client_->rearm();
}

}  // namespace blktap
