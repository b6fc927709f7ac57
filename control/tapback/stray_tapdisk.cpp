// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/stray_tapdisk.hpp"

#include <csignal>
#include <unistd.h>

#include "libblktap/base/log.hpp"
#include "libblktap/ipc/message_socket.hpp"

namespace blktap::tapback {

void end_stray_tapdisk(const std::string& socket_path) {
    try {
        const ipc::MessageSocket socket = ipc::MessageSocket::connect_to(socket_path);
        log::warning("tapdisk.stray", {{"socket", socket_path}, {"pid", std::to_string(socket.peer_pid())}});
        ::kill(socket.peer_pid(), SIGTERM);
    } catch (const std::system_error&) {
        ::unlink(socket_path.c_str());
    }
}

}  // namespace blktap::tapback
