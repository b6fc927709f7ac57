// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/progress_line.hpp"

#include <cstdio>
#include <unistd.h>

namespace blktap::tap_ctl {
namespace {

constexpr std::chrono::milliseconds first_after{1000};
constexpr std::chrono::milliseconds pace{200};

}  // namespace

ProgressLine::ProgressLine(const char* verb) noexcept
    : verb_(verb), terminal_(::isatty(STDERR_FILENO) == 1), next_(std::chrono::steady_clock::now() + first_after) {}

void ProgressLine::tell(std::uint64_t done, std::uint64_t all) noexcept {
    if (!terminal_ || all == 0) return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + pace;
    shown_ = true;
    std::fprintf(stderr, "\r%s: %3.0f %%", verb_, 100.0 * static_cast<double>(done) / static_cast<double>(all));
    std::fflush(stderr);
}

void ProgressLine::clear() noexcept {
    if (!shown_) return;
    shown_ = false;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
}

}  // namespace blktap::tap_ctl
