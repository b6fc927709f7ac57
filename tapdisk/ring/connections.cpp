// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/connections.hpp"

#include <algorithm>

#include "tapdisk/ring/named_store.hpp"

namespace blktap {
namespace {

/// Turns with new work before the loop looks at its other descriptors.
constexpr int turns_per_round = 16;

}  // namespace

EventLoop::Next Connections::turn() noexcept {
    if (list_.empty()) return turn_once() ? EventLoop::Next::turn_again : EventLoop::Next::sleep;
    poller_.woke();
    for (int i = 0; i < turns_per_round; ++i) {
        const bool again = turn_once();
        const auto awaited = answered_ ? Poller::For::guest : Poller::For::disk;
        if (again || poller_.look(awaited, [this] { return work_waiting(); })) continue;
        if (!before_sleep()) return EventLoop::Next::sleep;
    }
    return EventLoop::Next::turn_again;
}

/// Returns true if more can be done without waiting for an event.
bool Connections::turn_once() noexcept {
    const Nanoseconds began = clock_.coarse();
    const std::uint64_t submits_before = io_.stats().submits;

    for (const auto& connection : list_)
        connection->client().take();
    scheduler_.claim();
    for (const auto& connection : list_)
        connection->client().provide();
    scheduler_.run(reap_budget);
    answered_ = false;
    bool again = scheduler_.can_go_on();
    for (const auto& connection : list_) {
        answered_ = connection->client().answer() || answered_;
        again = connection->client().can_go_on() || again;
    }

    ++stats_.turns;
    stats_.most_submits = std::max(stats_.most_submits, io_.stats().submits - submits_before);
    stats_.longest_ns = std::max(stats_.longest_ns, static_cast<std::uint64_t>((clock_.coarse() - began).count()));
    return again;
}

bool Connections::work_waiting() const noexcept {
    return io_.completion_pending() ||
           std::ranges::any_of(list_, [](const auto& connection) { return connection->client().request_waiting(); });
}

/// Asks all frontends for a wake-up, even if an earlier one has a request waiting.
bool Connections::before_sleep() noexcept {
    bool waiting = false;
    for (const auto& connection : list_)
        waiting = connection->before_sleep() || waiting;
    return waiting;
}

void Connections::readmit_adopted() noexcept {
    if (BLKTAP_PLANTED("ring-scanned-first") && scheduler_.paused()) return;
    StageList adopted;
    for (const auto& connection : list_)
        adopted.splice(adopted.end(), connection->client().adopted());
    adopted.sort([](const DiskRequest& a, const DiskRequest& b) { return a.sequence < b.sequence; });
    while (!adopted.empty()) {
        DiskRequest& request = take_first(adopted);
        static_cast<RingClient*>(request.client)->readmit(request);
    }
}

void Connections::recovered(std::uint64_t size_sectors) noexcept {
    for (const auto& connection : list_) {
        connection->client().set_size(size_sectors);
        // The dead tapdisk may not have told of answers that it made visible; and nobody was there to be told of
        // requests.
        connection->client().wake_frontend();
        BLKTAP_STORED("frontend-woken");
    }
    if (BLKTAP_PLANTED("ring-scanned-first")) {
        for (const auto& connection : list_)
            connection->client().take();
        readmit_adopted();
    }
}

Connection& Connections::add(std::unique_ptr<Connection> connection) {
    return *list_.emplace_back(std::move(connection));
}

void Connections::remove(const Connection& connection) noexcept {
    std::erase_if(list_, [&connection](const auto& each) { return each.get() == &connection; });
}

Connection* Connections::find(std::string_view name) const noexcept {
    const auto found =
        std::ranges::find_if(list_, [name](const auto& each) { return each->frontend().connection == name; });
    return found == list_.end() ? nullptr : found->get();
}

bool Connections::keep_log_in(const UniqueFd& file) const noexcept {
    return std::ranges::any_of(list_, [&](const auto& each) { return each->client().keeps_log_in(file); });
}

bool Connections::quiet() const noexcept {
    return scheduler_.quiet() &&
           std::ranges::all_of(list_, [](const auto& connection) { return connection->client().quiet(); });
}

std::size_t Connections::in_flight() const noexcept {
    std::size_t count = 0;
    for (const auto& connection : list_)
        count += connection->client().unfinished();
    return count;
}

}  // namespace blktap
