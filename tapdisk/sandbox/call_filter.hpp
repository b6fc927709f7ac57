// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CallFilter: a list of system calls as a program for the kernel's seccomp filter. What is not in the list ends the
// process with SIGSYS. A table and a generator of 100 lines instead of libseccomp: a filter that is made at each start
// of a tapdisk should cost microseconds and no library (docs/decisions/0033).
//
// Tested by tests/unit/tapdisk/sandbox/call_filter_test.cpp.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <linux/filter.h>
#include <span>
#include <system_error>
#include <vector>

namespace blktap::sandbox {

/// A system call that is allowed, whatever its arguments are or only with some.
struct AllowedCall {
    /// What must be true of the lower 32 bits of one argument.
    enum class Rule : std::uint8_t {
        none,
        equals,          ///< it is `value`, and the upper bits are zero
        lacks_bits,      ///< no bit of `value` is set
        does_not_exist,  ///< the call answers ENOSYS, so that the C library uses an older one
    };
    std::uint32_t number;
    Rule rule = Rule::none;
    std::uint8_t argument = 0;
    std::uint32_t value = 0;
};

/// `trap`: a call that is not allowed raises SIGSYS, which a handler may report; `kill`: nothing can prevent the end.
enum class Violation : std::uint8_t { kill, trap };

/// Returns the program. Calls with a rule may be listed several times, one rule each: one of them must hold.
std::vector<sock_filter> make_filter(std::span<const AllowedCall> allowed, Violation violation);

/// Applies the program to all threads of this process, for good. The process must have no_new_privs. Errors: those of
/// seccomp(2); ESRCH: a thread has another filter.
std::error_code install_filter(std::span<const sock_filter> program) noexcept;

}  // namespace blktap::sandbox
