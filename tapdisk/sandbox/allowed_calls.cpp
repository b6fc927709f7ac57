// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/sandbox/allowed_calls.hpp"

#include <algorithm>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "libblktap/xen/device_controls.hpp"

namespace blktap::sandbox {
namespace {

/// What the C library gives a new thread, and nothing else: no new process.
constexpr std::uint32_t flags_of_a_thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                            CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

constexpr std::uint32_t plain_calls[] = {
    // Each request: events, I/O, files.
    SYS_read,
    SYS_write,
    SYS_epoll_pwait,
    SYS_io_submit,
    SYS_io_getevents,
    SYS_futex,
    SYS_getrusage,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_readv,
    SYS_writev,
    SYS_fsync,
    SYS_fdatasync,
    SYS_fallocate,
    SYS_ftruncate,
    SYS_lseek,
    SYS_fstat,
    SYS_fstatfs,
    SYS_statx,
    SYS_ppoll,
    SYS_copy_file_range,
    SYS_sync_file_range,
    SYS_fadvise64,
    // Messages, and descriptors that come with them.
    SYS_accept4,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_shutdown,
    SYS_close,
    SYS_fcntl,
    SYS_getsockopt,
    // Connections: memory, events, logs. A pipe and an eventfd reach nobody who is not given one.
    SYS_epoll_ctl,
    SYS_eventfd2,
    SYS_pipe2,
    SYS_memfd_create,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_io_setup,
    SYS_io_destroy,
    SYS_io_cancel,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    // Threads and the C library.
    SYS_set_robust_list,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_gettid,
    SYS_getpid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
#if defined(__x86_64__)
    // The names that x86 had first.
    SYS_epoll_wait,
    SYS_poll,
    SYS_newfstatat,
    SYS_gettimeofday,
    SYS_time,
#else
    SYS_newfstatat,
#endif
};

/// Queries, and discards, of block devices.
constexpr unsigned long block_controls[] = {
    BLKROGET, BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKIOMIN, BLKIOOPT, BLKALIGNOFF, BLKDISCARD, BLKZEROOUT,
};

}  // namespace

std::vector<AllowedCall> allowed_calls(pid_t self) {
    using enum AllowedCall::Rule;
    std::vector<AllowedCall> allowed;
    for (const std::uint32_t number : plain_calls)
        allowed.push_back({number});
    const auto allow_control = [&](unsigned long control) {
        allowed.push_back({SYS_ioctl, equals, 1, static_cast<std::uint32_t>(control)});
    };
    std::ranges::for_each(block_controls, allow_control);
    std::ranges::for_each(xen::device_controls(), allow_control);
    // No new code.
    allowed.push_back({SYS_mmap, lacks_bits, 2, PROT_EXEC});
    allowed.push_back({SYS_mprotect, lacks_bits, 2, PROT_EXEC});
    // The filter cannot see what clone3() is asked for.
    allowed.push_back({SYS_clone3, does_not_exist});
    allowed.push_back({SYS_clone, equals, 0, flags_of_a_thread});
    allowed.push_back({SYS_tgkill, equals, 0, static_cast<std::uint32_t>(self)});
    return allowed;
}

}  // namespace blktap::sandbox
