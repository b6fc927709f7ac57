// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Averages since the start: they settle, where the rate of the last second would flicker.
#include "tests/replay/progress.hpp"

#include <cstdio>
#include <unistd.h>

namespace blktap::replay {

std::function<void(const Statistics&)> progress_line() {
    if (::isatty(STDERR_FILENO) == 0) return {};
    return [](const Statistics& statistics) {
        std::fprintf(stderr, "\r%.0f s  %llu requests  %.0f IOPS  %.1f MB/s  %llu errors \033[K",
                     std::chrono::duration<double>(statistics.elapsed).count(),
                     static_cast<unsigned long long>(statistics.answered()),
                     statistics.per_second(statistics.answered()), statistics.per_second(statistics.bytes) / 1e6,
                     static_cast<unsigned long long>(statistics.errors));
        std::fflush(stderr);
    };
}

}  // namespace blktap::replay
