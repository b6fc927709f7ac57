// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// NewPidNamespace: while it lives, the next child of this process is the first of a process namespace of its own. It
// sees no other process, so it can signal none; this process sees it as any child.
//
// Tested by tests/unit/tapback/system/pid_namespace_test.cpp.
#pragma once

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

class NewPidNamespace {
  public:
    /// Errors: throws std::system_error. EPERM, without the rights for it, is none: children are as usual then.
    NewPidNamespace();
    NewPidNamespace(const NewPidNamespace&) = delete;
    NewPidNamespace& operator=(const NewPidNamespace&) = delete;
    /// Later children are in this process's namespace again.
    ~NewPidNamespace();

  private:
    UniqueFd ours_;  ///< none: nothing has changed
};

}  // namespace blktap::tapback
