// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/sandbox/call_filter.hpp"

#include <cerrno>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>

#include "tests/unit/tapdisk/sandbox/sandboxed_child.hpp"

using namespace blktap::sandbox;
using blktap::testing::end_of_child;

namespace {

constexpr AllowedCall to_end{SYS_exit_group};

/// The end of a child that makes `call` under a filter.
int end_with(std::vector<AllowedCall> allowed, const std::function<long()>& call,
             Violation violation = Violation::kill) {
    allowed.push_back(to_end);
    const auto program = make_filter(allowed, violation);
    return end_of_child([&] {
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (install_filter(program)) return 100;
        return call() >= 0 ? 0 : errno;
    });
}

long ask_limit(long which) {
    return ::syscall(SYS_personality, which);
}

}  // namespace

TEST_CASE("call filter: a call that is not in the list ends the process", "[unit][tapdisk]") {
    CHECK(end_with({{SYS_getppid}}, [] { return ::syscall(SYS_getppid); }) == 0);
    CHECK(end_with({{SYS_getppid}}, [] { return ::syscall(SYS_getpgid, 0); }) == -SIGSYS);
    CHECK(end_with({{SYS_getppid}, {SYS_getpgid}}, [] { return ::syscall(SYS_getpgid, 0); }) == 0);
}

TEST_CASE("call filter: an argument may have to have a value", "[unit][tapdisk]") {
    using enum AllowedCall::Rule;
    const std::vector<AllowedCall> allowed{
        {SYS_personality, equals, 0, 0xffffffff}, {SYS_personality, equals, 0, 7}, {SYS_getppid}};
    CHECK(end_with(allowed, [] { return ask_limit(0xffffffff); }) == 0);
    CHECK(end_with(allowed, [] { return ask_limit(7); }) == 0);
    CHECK(end_with(allowed, [] { return ask_limit(6); }) == -SIGSYS);
    // Nor one that has it in its lower half only.
    CHECK(end_with(allowed, [] { return ask_limit((1L << 32) | 7); }) == -SIGSYS);
    CHECK(end_with(allowed, [] { return ::syscall(SYS_getppid); }) == 0);
}

TEST_CASE("call filter: bits of an argument may be forbidden", "[unit][tapdisk]") {
    using enum AllowedCall::Rule;
    const auto map = [](int protection) {
        return
            [protection] { return ::syscall(SYS_mmap, nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); };
    };
    const std::vector<AllowedCall> allowed{{SYS_mmap, lacks_bits, 2, PROT_EXEC}, {SYS_getppid}};
    CHECK(end_with(allowed, map(PROT_READ | PROT_WRITE)) == 0);
    CHECK(end_with(allowed, map(PROT_READ | PROT_EXEC)) == -SIGSYS);
    CHECK(end_with(allowed, [] { return ::syscall(SYS_getppid); }) == 0);
    CHECK(end_with(allowed, [] { return ::syscall(SYS_getpgid, 0); }) == -SIGSYS);
}

TEST_CASE("call filter: a call may be said not to exist", "[unit][tapdisk]") {
    using enum AllowedCall::Rule;
    CHECK(end_with({{SYS_clone3, does_not_exist}}, [] { return ::syscall(SYS_clone3, nullptr, 0); }) == ENOSYS);
}

TEST_CASE("call filter: a violation can be trapped", "[unit][tapdisk]") {
    const auto call = [] {
        ::signal(SIGSYS, [](int) { blktap::testing::end_process(42); });
        return ::syscall(SYS_getpgid, 0);
    };
    CHECK(end_with({{SYS_rt_sigaction}}, call, Violation::trap) == 42);
    CHECK(end_with({{SYS_rt_sigaction}}, call, Violation::kill) == -SIGSYS);
}

TEST_CASE("call filter: holds for threads that run already", "[unit][tapdisk]") {
    const auto program =
        make_filter(std::vector<AllowedCall>{to_end, {SYS_futex}, {SYS_write}, {SYS_read}}, Violation::kill);
    const int end = end_of_child([&] {
        int pipe_ends[2];
        if (::pipe(pipe_ends) != 0) return 101;
        std::thread other([&] {
            char byte;
            if (::read(pipe_ends[0], &byte, 1) == 1) ::syscall(SYS_getppid);
        });
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (install_filter(program)) return 100;
        if (::write(pipe_ends[1], "x", 1) != 1) return 102;
        other.join();
        return 0;
    });
    CHECK(end == -SIGSYS);
}
