// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// without_locks(): runs a piece of code as on a file system without locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <iterator>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>

#include "libblktap/base/error.hpp"

namespace blktap::testing {

/// From now on fcntl(F_OFD_SETLK) fails with ENOLCK in this thread, as on a file system without locks.
inline void take_locks_away() {
    const auto number_at = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
    const auto command_at = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + sizeof(std::uint64_t));
    sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number_at),         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, command_at),        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{.len = std::size(steps), .filter = steps};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) throw_system_error("seccomp");
}

/// Runs `work` in a thread of its own, and waits for its end.
template <class Work>
void without_locks(Work work) {
    std::thread{[&work] {
        take_locks_away();
        work();
    }}.join();
}

}  // namespace blktap::testing
