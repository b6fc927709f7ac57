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

std::string describe(std::size_t queue, const ipc::ConnectArguments& frontend) {
    return "domain " + std::to_string(frontend.domain) + ", queue " + std::to_string(queue);
}

}  // namespace

Connection::Connection(EventLoop& loop, IoQueue& io, Options options)
    : loop_(loop), frontend_(std::move(options.frontend)), poller_(loop.clock(), options.poll_max) {
    std::vector<ConnectionQueue> queues = map_queues();
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

std::vector<ConnectionQueue> Connection::map_queues() {
    const auto protocol = ring::parse_protocol(frontend_.protocol);
    if (!protocol) throw_error(Errc::bad_message, "protocol \"" + frontend_.protocol + "\"");
    std::vector<ConnectionQueue> queues;
    queues.reserve(frontend_.queues.size());
    for (std::size_t i = 0; i < frontend_.queues.size(); ++i) {
        const ipc::QueueArguments& queue = frontend_.queues[i];
        auto pages = grants_.map(frontend_.domain, queue.ring_refs, xen::PageAccess::read_write);
        if (!pages) {
            std::string refs;
            for (const std::uint32_t ref : queue.ring_refs)
                refs += (refs.empty() ? "" : ",") + std::to_string(ref);
            throw_error(pages.error(), describe(i, frontend_) + ": mapping the ring's grants " + refs);
        }
        queues.emplace_back(std::move(pages).value(),
                            xen::EventChannel::bind_interdomain(events_, frontend_.domain, queue.event_channel),
                            *protocol);
    }
    return queues;
}

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
