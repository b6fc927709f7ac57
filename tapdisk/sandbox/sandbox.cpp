// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/sandbox/sandbox.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "tapdisk/sandbox/allowed_calls.hpp"
#include "tapdisk/sandbox/violation_report.hpp"

namespace blktap::sandbox {
namespace {

/// A chain of a hundred images, connections with all their queues, and clients.
constexpr rlim_t descriptors_max = 1024;
/// The loop and the worker threads, twice.
constexpr rlim_t threads_max = 16;

std::error_code result(bool done) noexcept {
    return done ? std::error_code{} : last_system_error();
}

/// Moved by itself, a process delays nobody else.
std::error_code enter_group(const Orders& orders) noexcept {
    if (orders.group < 0) return std::make_error_code(std::errc::no_such_file_or_directory);
    return result(::write(orders.group, "0", 1) == 1);
}

std::error_code leave_namespaces(const Orders& orders) noexcept {
    constexpr int others = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    if (orders.network < 0) return result(::unshare(others | CLONE_NEWNET) == 0);
    return result(::setns(orders.network, CLONE_NEWNET) == 0 && ::unshare(others) == 0);
}

/// Makes an empty, read-only file system the root. Not before this mount namespace is our own.
std::error_code empty_root(const Orders&) noexcept {
    constexpr const char* place = "/proc";  // a directory that every host has, and that is needed no more
    constexpr unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return result(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                  ::mount("none", place, "tmpfs", flags, "mode=0555,size=4k,nr_inodes=2") == 0 && ::chdir(place) == 0 &&
                  ::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0);
}

bool limit(__rlimit_resource resource, rlim_t most) noexcept {
    rlimit now{};
    if (::getrlimit(resource, &now) != 0) return false;
    const rlim_t value = now.rlim_max < most ? now.rlim_max : most;
    const rlimit wanted{value, value};
    return ::setrlimit(resource, &wanted) == 0;
}

std::error_code lower_limits(const Orders& orders) noexcept {
    // A core would have a guest's data. Threads are counted for a user: for one that others are, they say nothing.
    return result(limit(RLIMIT_NOFILE, descriptors_max) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_MSGQUEUE, 0) &&
                  (!orders.user || limit(RLIMIT_NPROC, threads_max)));
}

/// No program that this process could ever run would get a capability.
std::error_code empty_bounding_set(const Orders&) noexcept {
    for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return last_system_error();
    }
    return result(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
}

std::error_code become_user(const Orders& orders) noexcept {
    if (!orders.user) return std::make_error_code(std::errc::operation_not_permitted);
    const uid_t user = *orders.user;
    return result(::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
                  ::setresuid(user, user, user) == 0);
}

std::error_code drop_capabilities(const Orders&) noexcept {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    return result(::syscall(SYS_capset, &header, none.data()) == 0);
}

std::error_code forbid_new_privileges(const Orders&) noexcept {
    return result(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

bool is_filtered = false;

std::error_code filter_calls(const Orders& orders) noexcept {
    if (orders.mode == Mode::debug) report_violations();
    const auto violation = orders.mode == Mode::debug ? Violation::trap : Violation::kill;
    const std::error_code error = install_filter(make_filter(allowed_calls(::getpid()), violation));
    is_filtered = !error;
    return error;
}

struct Step {
    const char* name;
    std::error_code (*take)(const Orders& orders) noexcept;
};

constexpr Step steps[] = {
    {"control group", enter_group},
    {"namespaces", leave_namespaces},
    {"empty root", empty_root},
    {"limits", lower_limits},
    {"bounding set", empty_bounding_set},
    {"own user", become_user},
    {"no capabilities", drop_capabilities},
    {"no new privileges", forbid_new_privileges},
    {"system calls", filter_calls},
};

}  // namespace

std::vector<Missing> enter(const Orders& orders) {
    std::vector<Missing> missing;
    if (orders.mode == Mode::off) return missing;
    const bool is_root = ::geteuid() == 0;
    // The place of the new root is the host's /proc: without a mount namespace of our own nothing may be mounted there.
    bool has_namespaces = false;
    for (const Step& step : steps) {
        std::error_code error = std::make_error_code(std::errc::operation_not_permitted);
        if (step.take != empty_root || has_namespaces) error = step.take(orders);
        if (step.take == leave_namespaces) has_namespaces = !error;
        if (!error) continue;
        if (is_root && step.take != enter_group)
            throw_error(error, std::string("sandbox, step \"") + step.name +
                                   "\" (tapdisk.conf's \"sandbox = off\" does without)");
        missing.push_back({step.name, error});
    }
    return missing;
}

pid_t host_pid() {
    std::array<char, 32> text{};
    const ssize_t size = ::readlink("/proc/self", text.data(), text.size());
    if (size < 0) throw_system_error("/proc/self");
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + size, pid);
    if (error != std::errc{} || end != text.data() + size)
        throw_error(std::make_error_code(std::errc::io_error), "/proc/self");
    return pid;
}

std::string describe(Mode mode, const std::vector<Missing>& missing) {
    if (mode == Mode::off) return "off";
    std::string text = mode == Mode::debug ? "debug" : "on";
    for (const Missing& each : missing)
        text += (text.find(' ') == std::string::npos ? " without " : ", ") + each.step;
    return text;
}

}  // namespace blktap::sandbox

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
/// For the sanitizer, whose search for leaks at the end of a process needs calls that no tapdisk has.
extern "C" int __lsan_is_turned_off() {
    return blktap::sandbox::is_filtered ? 1 : 0;
}
#endif
#endif
