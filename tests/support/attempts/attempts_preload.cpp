// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// LD_PRELOAD: a tapdisk that is told by SIGUSR1, with the number of the attempt as its value, tries what its sandbox
// forbids. So the tapdisk that is tried is the one that ships.
#include <csignal>

#include "tests/support/attempts/attempts.hpp"

namespace {

void attempt(int, siginfo_t* info, void*) {
    const int index = info->si_value.sival_int;
    if (index < 0 || index >= blktap::testing::attempt_count) return;
    blktap::testing::attempts[index].make();
}

[[gnu::constructor]] void listen() {
    struct sigaction action {};
    action.sa_sigaction = attempt;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    ::sigaction(SIGUSR1, &action, nullptr);
}

}  // namespace
