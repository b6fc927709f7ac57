// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SecondPeer: another one who is connected to the disk of a VbdHarness beside its guest, under the name "second":
// domain 6, or with a local ring a program of the host.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "tests/support/vbd_harness.hpp"

namespace blktap::testing {

class SecondPeer {
  public:
    static constexpr const char* name = "second";
    static constexpr xen::DomainId domain = 6;

    /// Connects. Domains of `options` are set here. `machine` outlives this. Errors: as of Vbd::connect().
    explicit SecondPeer(VbdHarness& machine, replay::FrontendOptions options = {});

    /// Memory lasts as long as the peer, whatever becomes of its frontend.
    GuestBuffer pages(std::size_t count);
    void put(const ring::RawRequest& request, unsigned queue = 0);
    void send(const ring::RawRequest& request, unsigned queue = 0);
    /// The status that answered `id`, if one did; each answer is to a request that is unanswered.
    std::optional<ring::Status> answer(std::uint64_t id);
    std::size_t unanswered();
    replay::Frontend& frontend() { return *frontends_.back(); }

    std::error_code disconnect(ipc::RingsLeft rings = ipc::RingsLeft::untouched);
    /// New rings, after disconnect(). What was unanswered is forgotten.
    void connect();

  private:
    void take_answers();

    VbdHarness& machine_;
    replay::FrontendOptions options_;
    std::deque<std::unique_ptr<replay::Frontend>> frontends_;  ///< the last is connected; the others have memory
    std::set<std::uint64_t> unanswered_;
    std::map<std::uint64_t, ring::Status> answers_;
};

}  // namespace blktap::testing
