// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/violation_record.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <unistd.h>

#include "libblktap/base/call_names.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {
namespace {

constexpr std::string_view record_of_seccomp = "type=1326 ";  // AUDIT_SECCOMP; a kernel's log has no names of types

/// Returns the number behind `key`, which a space precedes.
std::optional<long> number_of(std::string_view record, std::string_view key) {
    const std::size_t place = record.find(key);
    if (place == std::string_view::npos) return std::nullopt;
    const std::string_view rest = record.substr(place + key.size());
    long number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    return error == std::errc{} ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<long> forbidden_call(std::string_view record, pid_t pid) {
    // The name of the program, which the process chooses, comes later than its number, and is quoted.
    if (record.find(record_of_seccomp) == std::string_view::npos) return std::nullopt;
    if (number_of(record, " pid=") != pid) return std::nullopt;
    return number_of(record, " syscall=");
}

std::optional<long> find_forbidden_call(pid_t pid) {
    const UniqueFd log{::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    if (!log) return std::nullopt;
    std::optional<long> last;
    std::array<char, 8192> record{};
    for (;;) {
        const ssize_t size = ::read(log.get(), record.data(), record.size());
        // EPIPE: the record was overwritten meanwhile, and the next call reads the oldest that is left.
        if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;
        if (size <= 0) return last;
        if (const auto call = forbidden_call({record.data(), static_cast<std::size_t>(size)}, pid)) last = call;
    }
}

std::string describe_violation(pid_t pid) {
    const auto call = find_forbidden_call(pid);
    if (!call) return "it made a system call that its sandbox forbids";
    return "it called " + std::string(call_name(*call)) + " (number " + std::to_string(*call) +
           "), which its sandbox forbids";
}

}  // namespace blktap::tapback
