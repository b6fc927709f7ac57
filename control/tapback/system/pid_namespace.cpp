// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/pid_namespace.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tapback {

NewPidNamespace::NewPidNamespace() {
    UniqueFd ours{::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC)};
    if (!ours) throw_system_error("/proc/self/ns/pid");
    if (::unshare(CLONE_NEWPID) == 0) {
        ours_ = std::move(ours);
    } else if (errno != EPERM) {
        throw_system_error("a process namespace");
    }
}

NewPidNamespace::~NewPidNamespace() {
    // Who could leave can return. If not, each later child would be in a namespace whose first process ends it.
    if (ours_) BLKTAP_ASSERT(::setns(ours_.get(), CLONE_NEWPID) == 0);
}

}  // namespace blktap::tapback
