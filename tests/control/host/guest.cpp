// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/guest.hpp"

#include <csignal>

#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

namespace blktap::control_test {
namespace {

std::vector<std::string> command(const Disk& disk, const std::vector<std::string>& words) {
    std::vector<std::string> all{BLKTAP_BIN_DIR "/ring-replay"};
    all.insert(all.end(), words.begin(), words.end());
    all.insert(all.end(), {"--xenstore", Toolstack::frontend(disk)});
    return all;
}

std::string new_output(const ControlHost& host) {
    static unsigned count = 0;
    return host.path("guest-" + std::to_string(++count));
}

}  // namespace

Guest::Guest(const ControlHost& host, const Disk& disk, const std::vector<std::string>& words)
    : output_(new_output(host)),
      process_(command(disk, words), {.environment = host.environment(disk.domain), .output = output_}) {}

int Guest::wait(Nanoseconds limit) {
    if (const auto status = process_.wait(limit)) return *status;
    process_.kill();
    return 128 + SIGKILL;
}

void Guest::interrupt() const noexcept {
    process_.signal(SIGINT);
}

void Guest::pause() const noexcept {
    process_.signal(SIGSTOP);
}

std::vector<std::string> verified_load(const std::vector<std::string>& more) {
    std::vector<std::string> words{"load", "--verify", "--mix", "mixed", "--depth", "8"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

void check_serves(const ControlHost& host, const Disk& disk, const std::vector<std::string>& more) {
    std::vector<std::string> words{"--requests", "300", "--flush-every", "50"};
    words.insert(words.end(), more.begin(), more.end());
    Guest guest(host, disk, verified_load(words));
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output() << "\ntapback said:\n" << host.log());
    CHECK(status == 0);
}

}  // namespace blktap::control_test
