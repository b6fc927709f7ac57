// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlGroups: a control group (cgroups(7), version 2) for each tapdisk, with bounds for memory and processes and a
// weight for the processor. They lie in a directory that the host has delegated to tapback, outside of tapback's own
// unit: see docs/decisions/0037. A host that delegates none has no groups, and everything works without.
//
// Tested by tests/unit/tapback/system/control_groups_test.cpp, tests/control/sandbox/control_group_test.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

class ControlGroups {
  public:
    /// None.
    ControlGroups() = default;
    /// Groups in the group `directory`, of tapdisks whose images' tables may take `memory_budget_bytes`. Empty ones
    /// that an earlier tapback left are removed. Logs, once, what this host does not have.
    ControlGroups(std::string directory, std::uint64_t memory_budget_bytes);

    /// Makes the group of the tapdisk that has this socket, or takes the one that is left: tapdisks that live at once
    /// have different sockets. Returns its "cgroup.procs", through which a process enters by itself: to move another
    /// process blocks for milliseconds. None: there are no groups.
    UniqueFd make(const std::string& socket_path) const noexcept;
    /// For an image with a larger budget than others. A bound becomes no smaller: a tapdisk at its bound is killed.
    void make_room(const std::string& socket_path, std::uint64_t memory_budget_bytes) const noexcept;
    /// Removes the group, unless somebody is in it.
    void remove(const std::string& socket_path) const noexcept;

  private:
    std::string path_of(const std::string& socket_path) const;
    void remove_empty() const;

    std::string directory_{};  ///< empty: none
    std::uint64_t memory_budget_bytes_ = 0;
};

}  // namespace blktap::tapback
