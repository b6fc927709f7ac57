// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/connection.hpp"

#include <string>
#include <utility>

#include "libblktap/base/boot_id.hpp"
#include "tapdisk/ring/local_transport.hpp"
#include "tapdisk/ring/xen_transport.hpp"

namespace blktap {
namespace {

std::unique_ptr<RingTransport> make_transport(Connection::Options& options, xen::KeptHandles& handles) {
    if (options.frontend.local) return std::make_unique<LocalTransport>(options.frontend, std::move(options.memory));
    return std::make_unique<XenTransport>(options.frontend, handles);
}

/// FNV-1a (64 bits) of what says which rings these are: docs/formats/recovery-log.md has the text.
std::uint64_t hash_of(const ipc::ConnectArguments& frontend) {
    std::string text = std::to_string(frontend.domain) + ' ' + frontend.protocol + ' ' +
                       (frontend.local ? "local" : "xen") + ' ' + frontend.connection;
    for (const ipc::QueueArguments& queue : frontend.queues) {
        text += ';' + std::to_string(queue.event_channel);
        for (const std::uint32_t page : queue.ring_refs)
            text += ' ' + std::to_string(page);
    }
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

RecoveryLog make_log(Connection::Options& options, const std::vector<ConnectionQueue>& queues) {
    const RecoveryLog::Shape shape{static_cast<std::uint32_t>(queues.size()), queues.front().ring().slot_count(),
                                   identity_of(options.frontend)};
    if (options.adopt) return RecoveryLog::adopt(std::move(options.log_file), shape);
    return RecoveryLog(std::move(options.log_file), shape);
}

}  // namespace

LogIdentity identity_of(const ipc::ConnectArguments& frontend) {
    return {boot_id(), hash_of(frontend)};
}

Connection::Connection(EventLoop& loop, Scheduler& scheduler, xen::KeptHandles& handles, Options options)
    : frontend_(options.frontend), recoverable_(options.recoverable), transport_(make_transport(options, handles)) {
    std::vector<ConnectionQueue> queues = transport_->take_queues();
    RecoveryLog log = make_log(options, queues);
    client_.emplace(scheduler, transport_->memory(), std::move(queues), std::move(log),
                    RingClient::Options{options.rules, {.direct_io_safe = frontend_.direct_io_safe}, options.adopt});
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
