// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Preloaded into a daemon: its monotonic clock runs HURRY times as fast, and its waits for events are shorter by that
// factor. So a test sees the effect of time limits and back-offs of seconds, with the program that ships, in a fraction
// of that time.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr long second_ns = 1'000'000'000;

long hurry() noexcept {
    static const long times = [] {
        const char* const text = std::getenv("HURRY");
        return std::max(text != nullptr ? std::atol(text) : 1L, 1L);
    }();
    return times;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, timespec* time) noexcept {
    const long result = ::syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)) {
        const long part_ns = time->tv_nsec * hurry();
        time->tv_sec = time->tv_sec * hurry() + part_ns / second_ns;
        time->tv_nsec = part_ns % second_ns;
    }
    return static_cast<int>(result);
}

__attribute__((visibility("default"))) int epoll_wait(int epoll, epoll_event* events, int count, int timeout_ms) {
    if (timeout_ms > 0) timeout_ms = static_cast<int>(std::max(timeout_ms / hurry(), 1L));
    return static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, count, timeout_ms, nullptr, 0));
}

}  // extern "C"
