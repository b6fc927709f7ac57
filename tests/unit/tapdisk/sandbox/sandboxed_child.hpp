// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A child of the test that confines itself and does something. It makes system calls only where that matters: after the
// filter, not even the end of a test program would be allowed.
#pragma once

#include <csignal>
#include <functional>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/catch.hpp"

namespace blktap::testing {

/// Ends this process by the system call alone: a sanitizer's _exit() would make others first.
inline void end_process(int status) {
    ::syscall(SYS_exit_group, status);
}

/// How a child ended: its exit status, or minus the signal that killed it.
inline int end_of_child(const std::function<int()>& work) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) end_process(work());
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace blktap::testing
