// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SecondPeer: a second peer of the disk of a VbdHarness, connected under the name "second" in addition to its guest:
// domain 6, or with a local ring a program of the host.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "tests/support/machine/vbd_harness.hpp"

namespace blktap::testing {

class SecondPeer {
  public:
    static constexpr const char* name = "second";
    static constexpr xen::DomainId domain = 6;

    /// Connects. The constructor sets the domains in `options`. `machine` outlives this. Errors: as Vbd::connect().
    explicit SecondPeer(VbdHarness& machine, replay::FrontendOptions options = {});

    /// Granted pages, which last as long as the peer, even after its frontend.
    GuestBuffer pages(std::size_t count);
    void put(const ring::RawRequest& request, unsigned queue = 0);
    void send(const ring::RawRequest& request, unsigned queue = 0);
    /// Returns the status that answered `id`, if any; checks that each answer is to an unanswered request.
    std::optional<ring::Status> answer(std::uint64_t id);
    std::size_t unanswered();
    replay::Frontend& frontend() { return *frontends_.back(); }

    std::error_code disconnect(ipc::RingsLeft rings = ipc::RingsLeft::untouched);
    /// Connects new rings, after disconnect(). Unanswered requests are forgotten.
    void connect();
    /// What it was connected with.
    ipc::ConnectArguments arguments();
    /// A program comes back to the next tapdisk, which has its log. `memory`: instead of its own. Errors: as
    /// Vbd::connect().
    void come_back(UniqueFd memory = {});

  private:
    UniqueFd memory();
    void take_answers();

    VbdHarness& machine_;
    replay::FrontendOptions options_;
    std::deque<std::unique_ptr<replay::Frontend>> frontends_;  ///< the last is connected; the others keep their memory
    std::set<std::uint64_t> unanswered_;
    std::map<std::uint64_t, ring::Status> answers_;
};

}  // namespace blktap::testing
