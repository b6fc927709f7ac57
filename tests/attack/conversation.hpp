// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Conversation: one guest that attacks, from its connection to its end: honest requests in one ring, everything else in
// the others.
#pragma once

#include <memory>
#include <thread>

#include "libblktap/ipc/messages.hpp"
#include "tests/attack/honest_queue.hpp"
#include "tests/attack/rings.hpp"
#include "tests/attack/victim.hpp"

namespace blktap::attack {

/// What was done, for the report.
struct Counts {
    std::uint64_t conversations = 0;
    std::uint64_t hostile = 0;   ///< requests
    std::uint64_t honest = 0;    ///< answered
    std::uint64_t rewrites = 0;  ///< of fields, while they are read
};

class Conversation {
  public:
    /// `disk`: what the first half of the victim's disk holds.
    Conversation(Victim& victim, HonestDisk& disk, SeededRandom& random, Counts& counts);
    Conversation(const Conversation&) = delete;
    Conversation& operator=(const Conversation&) = delete;
    ~Conversation();

    /// Errors: throws Finding.
    void run();

  private:
    void connect();
    void act();
    void lie_to_connect();
    void storm() noexcept;
    void finish_honest();
    void disconnect();

    Victim& victim_;
    SeededRandom& random_;
    Counts& counts_;
    const bool local_;
    const unsigned queue_count_;
    const unsigned ring_order_;
    const ring::Protocol protocol_;
    std::unique_ptr<replay::FrontendHost> host_;
    ipc::ConnectArguments arguments_;
    std::unique_ptr<HostileMemory> memory_;
    std::unique_ptr<HonestQueue> honest_;
    std::vector<HostileRing> hostile_;
    std::atomic<bool> over_ = false;
    std::uint64_t rewrites_ = 0;
    std::thread racer_;
};

}  // namespace blktap::attack
