// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The tapdisk writes to the descriptor itself; this only waits.
#include "tests/replay/trace/recorder.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/stat.h>

#include "libblktap/base/unique_fd.hpp"
#include "tests/replay/frontend/tapdisk_connection.hpp"

namespace blktap::replay {
namespace {

/// Until the user interrupts, the tapdisk says something (or dies), or `deadline` passes. Returns whether to go on.
bool wait(int connection_fd, int interrupt_fd, std::optional<Nanoseconds> deadline, const Clock& clock) {
    timespec limit{};
    if (deadline) {
        const Nanoseconds left = std::max(*deadline - clock.now(), Nanoseconds(0));
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        limit = {seconds.count(), (left - seconds).count()};
    }
    std::array<pollfd, 2> watched{pollfd{connection_fd, POLLIN, 0}, pollfd{interrupt_fd, POLLIN, 0}};
    const int ready = ::ppoll(watched.data(), watched.size(), deadline ? &limit : nullptr, nullptr);
    if (ready < 0 && errno != EINTR) throw_system_error("poll");
    return ready != 0 && watched[1].revents == 0;
}

}  // namespace

Exit run_record(const RecordOptions& options) {
    ipc::Channel channel(ipc::MessageSocket::connect_to(options.tapdisk));
    const UniqueFd output(::open(options.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!output) throw_system_error(options.output);

    const auto request = [&](bool start, const std::vector<int>& descriptors) {
        call_or_throw(channel, options.tapdisk, ipc::Record{start}, descriptors);
    };
    request(true, {output.get()});
    const MonotonicClock clock;
    std::optional<Nanoseconds> deadline;
    if (options.duration.count() != 0) deadline = clock.now() + options.duration;
    while (wait(channel.fd(), options.interrupt_fd, deadline, clock))
        answer_requests(channel, options.tapdisk);
    request(false, {});

    struct stat file {};
    if (::fstat(output.get(), &file) != 0) throw_system_error(options.output);
    std::fprintf(stderr, "ring-replay: recorded %lld bytes to %s\n", static_cast<long long>(file.st_size),
                 options.output.c_str());
    return Exit::okay;
}

}  // namespace blktap::replay
