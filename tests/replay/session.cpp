// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One poll() for the three things that end a wait: the backend's event, its death, and the user.
#include "tests/replay/session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>

#include "tests/replay/failure.hpp"

namespace blktap::replay {

Session::Session(Connection& connection, const FrontendOptions& options, int interrupt_fd)
    : connection_(connection), interrupt_fd_(interrupt_fd), frontend_(connection.prepare(options)) {
    Connected connected = connection_.connect(frontend_.connect_arguments(), frontend_.connect_descriptors());
    connected_ = true;
    device_ = connected.device;
    frontend_.connected(std::move(connected.descriptors));
}

Session::~Session() {
    try {
        disconnect();
    } catch (const std::exception&) {
        // A backend that is gone holds no page, and whatever brought us here is the better message.
    }
}

void Session::disconnect() {
    if (!std::exchange(connected_, false)) return;
    connection_.disconnect();
}

Session::Seen Session::look_at_backend() {
    try {
        return connection_.check() ? Seen::nothing : Seen::wants_disk;
    } catch (const BackendGone&) {
        auto connected = connection_.come_back(frontend_.connect_arguments(), frontend_.connect_descriptors());
        if (!connected) throw;
        frontend_.connected(std::move(connected->descriptors));
        // What was said meanwhile was said to nobody.
        for (unsigned queue = 0; queue < frontend_.queue_count(); ++queue)
            frontend_.notify(queue);
        return Seen::another;
    }
}

Session::Wake Session::wait(Nanoseconds limit) {
    std::array<pollfd, 3> watched{pollfd{frontend_.event_fd(), POLLIN, 0}, pollfd{connection_.fd(), POLLIN, 0},
                                  pollfd{interrupt_fd_, POLLIN, 0}};
    limit = std::max(limit, Nanoseconds(0));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(limit);
    const timespec timeout{seconds.count(), (limit - seconds).count()};
    if (::ppoll(watched.data(), watched.size(), &timeout, nullptr) < 0 && errno != EINTR) throw_system_error("poll");

    const auto& [event, connection, interrupt] = watched;
    if (connection.revents != 0) {
        const Seen seen = look_at_backend();
        if (seen == Seen::wants_disk) return Wake::interrupted;
        if (seen == Seen::another) return Wake::event;
    }
    if (interrupt.revents != 0) {
        interrupt_fd_ = -1;  // or every wait from now on would return at once
        return Wake::interrupted;
    }
    if (event.revents == 0) return Wake::timeout;
    frontend_.acknowledge();
    return Wake::event;
}

}  // namespace blktap::replay
