// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/connection.hpp"

#include <algorithm>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/log.hpp"

namespace blktap {
namespace {

/// Times that one call of turn() goes on with new work before the loop looks at its other descriptors.
constexpr int turns_per_round = 16;

}  // namespace

Connection::Connection(EventLoop& loop, IoQueue& io, Options options)
    : loop_(loop), frontend_(std::move(options.frontend)), poller_(loop.clock(), options.poll_max) {
    std::vector<ConnectionQueue> queues = map_queues(grants_, events_, frontend_);
    const auto queue_count = static_cast<std::uint32_t>(queues.size());
    const std::uint32_t slots = queues.front().ring().slot_count();
    RequestEngine::Options engine_options;
    engine_options.rules = options.rules;
    engine_options.data.domain = frontend_.domain;
    if (frontend_.persistent) {
        engine_options.data.persistent_pages_max =
            std::min(std::size_t{queue_count} * slots * PersistentGrants::pages_per_slot, PersistentGrants::pages_max);
    }
    engine_options.data.direct_io_safe = frontend_.direct_io_safe;
    masked_.reserve(queue_count);
    engine_.emplace(io, grants_, loop.clock(), std::move(queues),
                    RecoveryLog(std::move(options.log_file), queue_count, slots), engine_options);
    watch_.emplace(loop_, events_.fd(), EPOLLIN, [this](std::uint32_t) { note_events(); });
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
    } while (masked_.size() < engine_->queues().size());
}

void Connection::unmask() noexcept {
    for (const xen::Port port : masked_)
        events_.unmask(port);
    masked_.clear();
}

EventLoop::Next Connection::turn() noexcept {
    poller_.woke();
    for (int i = 0; i < turns_per_round; ++i) {
        const bool again = engine_->turn() == RequestEngine::Next::turn_again;
        const auto awaited = engine_->answered() ? Poller::For::guest : Poller::For::disk;
        if (again || poller_.look(awaited, [this] { return engine_->work_waiting(); })) continue;
        if (events_waiting_) take_events();
        unmask();
        if (!engine_->rearm()) return EventLoop::Next::sleep;
    }
    return EventLoop::Next::turn_again;
}

}  // namespace blktap
