// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/signals.hpp"

#include <sys/signalfd.h>

#include "libblktap/base/error.hpp"

namespace blktap {

UniqueFd open_end_signals() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    survive_file_size_limit();
    UniqueFd fd{::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC)};
    if (!fd) throw_system_error("signalfd");
    return fd;
}

}  // namespace blktap
