// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PeerSignal: wakes the other end of one ring. Never blocks, whatever the other end does: a guest's event channel
// cannot block, and no other process has our end of the pipe to a program on this host (docs/decisions/0022).
#pragma once

#include <variant>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/xen/event_channel.hpp"

namespace blktap {

class PeerSignal {
  public:
    explicit PeerSignal(xen::EventChannel channel) noexcept : way_(std::move(channel)) {}
    /// The writing end of a pipe, O_NONBLOCK in a file description that no other process has.
    explicit PeerSignal(UniqueFd pipe) noexcept : way_(std::move(pipe)) {}

    /// Wakes the peer. A peer that is gone is no error: its end is reported elsewhere.
    void notify() noexcept;

  private:
    std::variant<xen::EventChannel, UniqueFd> way_;
};

}  // namespace blktap
