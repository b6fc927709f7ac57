// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/poller.hpp"

#include <sys/resource.h>

namespace blktap {

std::uint64_t Poller::preemptions_of_this_thread() noexcept {
    rusage usage{};
    return ::getrusage(RUSAGE_THREAD, &usage) == 0 ? static_cast<std::uint64_t>(usage.ru_nivcsw) : 0;
}

}  // namespace blktap
