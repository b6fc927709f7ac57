// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/abandoned_rings.hpp"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/log.hpp"

namespace blktap {
namespace {

// Rarely needed, and only for seconds: the rings are polled instead of waiting for events.
constexpr Nanoseconds look_interval = AbandonedRings::quiet / 10;
// More than the size of the largest connection's log.
constexpr off_t log_size_max_bytes = off_t{8} << 20;

LogContents read_log_file(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw_system_error("recovery log");
    if (status.st_size > log_size_max_bytes) throw_error(Errc::bad_message, "recovery log: too large for one");
    std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
    const ssize_t count = ::pread(fd, bytes.data(), bytes.size(), 0);
    if (count != static_cast<ssize_t>(bytes.size())) throw_error(Errc::bad_message, "recovery log: cannot be read");
    auto contents = read_log(bytes);
    if (!contents) throw_error(contents.error(), "recovery log");
    return std::move(contents).value();
}

}  // namespace

AbandonedRings::AbandonedRings(EventLoop& loop, xen::KeptHandles& handles, const ipc::ConnectArguments& frontend,
                               const UniqueFd& log, std::function<void()> done)
    : loop_(loop),
      transport_(frontend, handles),
      queues_(transport_.take_queues()),
      done_(std::move(done)),
      began_(loop.clock().now()),
      last_answer_(began_),
      timer_(loop, [this] { look(); }) {
    answer_logged(read_log_file(log.get()));
    look();
}

void AbandonedRings::answer_logged(const LogContents& log) {
    if (log.queues.size() != queues_.size())
        throw_error(Errc::bad_message, "recovery log: of " + std::to_string(log.queues.size()) + " queues");
    std::vector<std::vector<const ring::RawRequest*>> unanswered(queues_.size());
    for (const LogContents::Request& request : log.unanswered) {
        const LogContents::Queue& queue = log.queues[request.queue];
        // The tapdisk died after it published answers and before it freed their slots in the log.
        const bool published = queue.publishing &&
                               queues_[request.queue].ring().responses_published() == queue.new_producer &&
                               std::ranges::find(queue.published, request.slot) != queue.published.end();
        if (!published) unanswered[request.queue].push_back(&request.request);
    }
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        ConnectionQueue& queue = queues_[i];
        const auto count = static_cast<std::uint32_t>(unanswered[i].size());
        if (!queue.ring().adopt(log.queues[i].consumed, count))
            throw_error(Errc::bad_message, "recovery log: queue " + std::to_string(i) + " is another ring's");
        for (const ring::RawRequest* request : unanswered[i])
            answer(queue, *request);
    }
}

void AbandonedRings::answer(ConnectionQueue& queue, const ring::RawRequest& request) noexcept {
    queue.ring().put_response({request.id, request.response_operation(), ring::Status::error});
    ++answered_;
    last_answer_ = loop_.clock().now();
}

void AbandonedRings::answer_sent(ConnectionQueue& queue) noexcept {
    if (queue.ring().stopped()) return;
    const auto pending = queue.ring().pending_requests();
    for (std::uint32_t left = pending ? pending.value() : 0; left > 0; --left)
        answer(queue, queue.ring().consume());
    if (queue.ring().has_unpublished() && queue.ring().publish()) queue.signal().notify();
}

/// Notifies the frontend: Linux stops its queues when it is told to close, until it is notified.
void AbandonedRings::wake() noexcept {
    next_wake_ = loop_.clock().now() + quiet / 2;
    for (ConnectionQueue& queue : queues_)
        queue.signal().notify();
}

void AbandonedRings::look() {
    for (ConnectionQueue& queue : queues_)
        answer_sent(queue);
    const Nanoseconds now = loop_.clock().now();
    if (now - last_answer_ < quiet && now - began_ < at_most) {
        if (now >= next_wake_) wake();
        return timer_.arm(look_interval);
    }
    log::warning("ring.abandoned", {{"requests", std::to_string(answered_)}, {"state", "answered with an error"}});
    std::exchange(done_, nullptr)();
}

}  // namespace blktap
