// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What somebody would try who has taken a tapdisk over: system calls that its sandbox forbids. In a header, because a
// library that is loaded into the tapdisk that ships tries them too (attempts_preload.cpp).
#pragma once

#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

namespace blktap::testing {

struct Attempt {
    const char* what;
    const char* call;  ///< the call that the sandbox must name
    long (*make)();
};

inline constexpr Attempt attempts[] = {
    {"open any file", "openat", [] { return ::syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); }},
    {"open another image", "openat", [] { return ::syscall(SYS_openat, AT_FDCWD, "/srv/other.img", O_RDWR); }},
    {"open in the newer way", "openat2", [] { return ::syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0); }},
    {"open by handle", "open_by_handle_at", [] { return ::syscall(SYS_open_by_handle_at, AT_FDCWD, nullptr, 0); }},
    {"remove a file", "unlinkat", [] { return ::syscall(SYS_unlinkat, AT_FDCWD, "/etc/passwd", 0); }},
    {"make a socket", "socket", [] { return ::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
    {"connect to tapback's socket", "connect",
     [] {
         const sockaddr_un address{AF_UNIX, "/run/tapdisk/tapback.sock"};
         return ::syscall(SYS_connect, 0, &address, sizeof address);
     }},
    {"start a process", "clone",
     [] {
         const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
         if (pid == 0) ::_exit(0);
         return pid;
     }},
    {"run a program", "execve",
     [] {
         const char* const arguments[] = {"/bin/true", nullptr};
         return ::syscall(SYS_execve, arguments[0], arguments, nullptr);
     }},
    {"run a program from memory", "execveat", [] { return ::syscall(SYS_execveat, 0, "", nullptr, nullptr, 0); }},
    {"trace a process", "ptrace", [] { return ::syscall(SYS_ptrace, PTRACE_ATTACH, 1, nullptr, nullptr); }},
    {"read a process's memory", "process_vm_readv",
     [] { return ::syscall(SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0); }},
    {"signal all processes", "kill", [] { return ::syscall(SYS_kill, -1, SIGTERM); }},
    {"signal another thread", "tgkill", [] { return ::syscall(SYS_tgkill, ::getpid() + 1, ::getpid() + 1, SIGTERM); }},
    {"hold a process", "pidfd_open", [] { return ::syscall(SYS_pidfd_open, 1, 0); }},
    {"make memory that can be executed", "mmap",
     [] { return ::syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
    {"make memory executable", "mprotect", [] { return ::syscall(SYS_mprotect, nullptr, 4096, PROT_EXEC); }},
    {"mount", "mount", [] { return ::syscall(SYS_mount, nullptr, "/", nullptr, 0, nullptr); }},
    {"enter a namespace", "setns", [] { return ::syscall(SYS_setns, 0, 0); }},
    {"make a namespace", "unshare", [] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }},
    {"become another user", "setuid", [] { return ::syscall(SYS_setuid, 0); }},
    {"load a program into the kernel", "bpf", [] { return ::syscall(SYS_bpf, 0, nullptr, 0); }},
    {"use io_uring", "io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"change what the process is", "prctl", [] { return ::syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }},
    {"use a key", "keyctl", [] { return ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); }},
    {"handle page faults", "userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
    {"control a device as nobody here does", "ioctl",
     [] { return ::syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"); }},
};
inline constexpr int attempt_count = sizeof attempts / sizeof attempts[0];

}  // namespace blktap::testing
