// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/local_transport.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace blktap {
namespace {

UniqueFd duplicate(const UniqueFd& fd) {
    UniqueFd copy{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
    if (!copy) throw_system_error("duplicating a descriptor");
    return copy;
}

}  // namespace

LocalTransport::LocalTransport(const ipc::ConnectArguments& frontend, UniqueFd memory)
    : shared_(SealedMemory::adopt(std::move(memory), memory_max_bytes)),
      memory_(shared_.bytes().first(round_down(shared_.bytes().size(), page_size_bytes))),
      requests_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!requests_) throw_system_error("eventfd");
    const ring::Protocol protocol = ring_protocol(frontend);
    for_peer_.push_back(duplicate(requests_));
    for (const ipc::QueueArguments& queue : frontend.queues) {
        // Each end of a pipe has its own file description, so the peer cannot make our end blocking.
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw_system_error("pipe");
        for_peer_.emplace_back(ends[0]);
        PeerSignal signal{UniqueFd(ends[1])};
        ::fcntl(ends[1], F_SETPIPE_SZ, page_size_bytes);  // small: a byte announces answers, whatever their number
        queues_.emplace_back(ring_pages(queues_.size(), queue.ring_refs), std::move(signal), protocol);
    }
}

std::uint32_t LocalTransport::epoll_events() const noexcept {
    return EPOLLIN | EPOLLET;
}

std::span<std::byte> LocalTransport::ring_pages(std::size_t queue, const std::vector<std::uint32_t>& numbers) const {
    const std::size_t page_count = shared_.bytes().size() / page_size_bytes;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (numbers[i] >= page_count || numbers[i] != numbers.front() + i)
            throw_error(Errc::bad_message, "queue " + std::to_string(queue) + ": page " + std::to_string(numbers[i]) +
                                               " of the shared memory is no part of a ring");
    }
    return shared_.bytes().subspan(std::size_t{numbers.front()} * page_size_bytes, numbers.size() * page_size_bytes);
}

}  // namespace blktap
