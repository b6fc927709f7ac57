// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/sandbox/call_filter.hpp"

#include <cerrno>
#include <cstddef>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"

namespace blktap::sandbox {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
#error "the filter of system calls does not know this architecture"
#endif

constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t jump_if_equal = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t jump_if_bits = BPF_JMP | BPF_JSET | BPF_K;
constexpr std::uint16_t answer = BPF_RET | BPF_K;

using Program = std::vector<sock_filter>;

void add(Program& program, std::uint16_t code, std::uint32_t value, std::uint8_t if_true = 0,
         std::uint8_t if_false = 0) {
    program.push_back({code, if_true, if_false, value});
}

void load_argument(Program& program, std::uint8_t argument, std::size_t half) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    add(program, load,
        static_cast<std::uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t) +
                                   half * sizeof(std::uint32_t)));
}

/// Adds the instructions that answer `call`; all other calls go on behind them with the number of the call loaded.
void add_call(Program& program, const AllowedCall& call) {
    using enum AllowedCall::Rule;
    switch (call.rule) {
        case none:
            add(program, jump_if_equal, call.number, 0, 1);
            return add(program, answer, SECCOMP_RET_ALLOW);
        case does_not_exist:
            add(program, jump_if_equal, call.number, 0, 1);
            return add(program, answer, SECCOMP_RET_ERRNO | ENOSYS);
        case equals:
            add(program, jump_if_equal, call.number, 0, 6);
            load_argument(program, call.argument, 1);
            add(program, jump_if_equal, 0, 0, 3);
            load_argument(program, call.argument, 0);
            add(program, jump_if_equal, call.value, 0, 1);
            add(program, answer, SECCOMP_RET_ALLOW);
            break;
        case lacks_bits:
            add(program, jump_if_equal, call.number, 0, 4);
            load_argument(program, call.argument, 0);
            add(program, jump_if_bits, call.value, 1, 0);
            add(program, answer, SECCOMP_RET_ALLOW);
            break;
    }
    add(program, load, offsetof(seccomp_data, nr));
}

}  // namespace

std::vector<sock_filter> make_filter(std::span<const AllowedCall> allowed, Violation violation) {
    const std::uint32_t refused = violation == Violation::kill ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP;
    Program program;
    add(program, load, offsetof(seccomp_data, arch));
    add(program, jump_if_equal, architecture, 1, 0);
    add(program, answer, SECCOMP_RET_KILL_PROCESS);
    add(program, load, offsetof(seccomp_data, nr));
    for (const AllowedCall& call : allowed)
        add_call(program, call);
    add(program, answer, refused);
    return program;
}

std::error_code install_filter(std::span<const sock_filter> program) noexcept {
    const sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
    // SPEC_ALLOW: nobody else's code runs in this process, and older kernels would slow all of it down.
    constexpr unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    if (result < 0) return last_system_error();
    return result == 0 ? std::error_code{} : std::make_error_code(std::errc::no_such_process);
}

}  // namespace blktap::sandbox
