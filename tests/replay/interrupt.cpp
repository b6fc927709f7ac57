// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The signal is never read from the descriptor: once interrupted, always interrupted.
#include "tests/replay/interrupt.hpp"

#include <csignal>
#include <sys/signalfd.h>

#include "libblktap/base/error.hpp"

namespace blktap::replay {

Interrupt::Interrupt() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) throw_system_error("sigprocmask");
    fd_.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd_) throw_system_error("signalfd");
}

}  // namespace blktap::replay
