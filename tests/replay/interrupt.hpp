// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Interrupt: SIGINT and SIGTERM as a descriptor, so that Ctrl-C ends a run in order: drained, disconnected, reported.
#pragma once

#include "libblktap/base/unique_fd.hpp"

namespace blktap::replay {

class Interrupt {
  public:
    /// Blocks the two signals for this process. Call before threads start. Errors: throws std::system_error.
    Interrupt();
    /// Readable once one has arrived.
    int fd() const noexcept { return fd_.get(); }

  private:
    UniqueFd fd_;
};

}  // namespace blktap::replay
