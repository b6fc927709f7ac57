// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StrayTapdisks: ends the tapdisks that a tapback started and that have no record: the tapback died between two steps,
// or found no space for the record. It ends no other tapdisk, whatever its socket's name: people start tapdisks by hand
// in the same directory.
//
// Tested by tests/unit/tapback/session/stray_tapdisks_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/tapback/session/tapdisk_process.hpp"

namespace blktap::tapback {

class StrayTapdisks {
  public:
    /// Whether a socket of this name in the run directory is a known disk's.
    using Known = std::function<bool(const std::string& name)>;

    /// Both outlive this.
    StrayTapdisks(EventLoop& loop, TapdiskSearch& search) noexcept : loop_(loop), search_(search) {}

    /// Ends the stray tapdisks whose sockets are in `directory`, each as soon as it is known to be tapback's, and
    /// removes tapback's sockets on which no process listens.
    /// Errors: throws std::filesystem::filesystem_error: the directory cannot be read.
    void end(const std::string& directory, const Known& known);

  private:
    void look(const std::string& socket_path);
    void end(const ProcessId& id, const std::string& socket_path);

    EventLoop& loop_;
    TapdiskSearch& search_;
    std::vector<std::unique_ptr<TapdiskProcess>> ending_;  ///< few; kept after they have ended
};

}  // namespace blktap::tapback
