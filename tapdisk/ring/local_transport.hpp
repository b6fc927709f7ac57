// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// LocalTransport: rings and data in memory that a program on this host shares with tapdisk, and descriptors by which
// both wake each other. The program makes the memory, a sealed memfd; tapdisk makes the descriptors, so that no file of
// the program can block this process (docs/decisions/0022). Like a guest, the program is not trusted.
//
// Tested by tests/unit/tapdisk/ring/local_ring_test.cpp.
#pragma once

#include <vector>

#include "libblktap/base/sealed_memory.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tapdisk/ring/ring_transport.hpp"

namespace blktap {

class LocalTransport final : public RingTransport {
  public:
    /// Limit of the shared memory: rings, descriptor pages and data.
    static constexpr std::size_t memory_max_bytes = std::size_t{1} << 30;

    /// `queues` of `frontend` name pages of `memory` by their numbers, those of a ring consecutively. Errors: throws
    /// std::system_error: EINVAL (unsuitable memory), Errc::bad_message (pages beyond the memory, or not consecutive).
    LocalTransport(const ipc::ConnectArguments& frontend, UniqueFd memory);

    std::vector<ConnectionQueue> take_queues() override { return std::move(queues_); }
    PeerMemory& memory() noexcept override { return memory_; }
    int event_fd() const noexcept override { return requests_.get(); }
    std::uint32_t epoll_events() const noexcept override;
    void take_events() noexcept override {}
    void rearm_events() noexcept override {}
    std::vector<UniqueFd> take_peer_descriptors() override { return std::move(for_peer_); }

  private:
    std::span<std::byte> ring_pages(std::size_t queue, const std::vector<std::uint32_t>& numbers) const;

    SealedMemory shared_;
    PeerMemory memory_;
    UniqueFd requests_;  ///< an eventfd that the peer writes; watched edge-triggered, so it need not be read
    std::vector<UniqueFd> for_peer_;
    std::vector<ConnectionQueue> queues_;
};

}  // namespace blktap
