// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/world_processes.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>

#include "tests/support/process.hpp"

namespace blktap::control_test {
namespace {

/// Empty for a process that has ended: a zombie has no environment.
bool lives_in(const std::string& process, const std::string& directory) {
    const std::string variables = '\0' + testing::read_file(process + "/environ");
    return variables.find(std::string(1, '\0') + "FAKEXEN=" + directory + '\0') != std::string::npos;
}

}  // namespace

std::vector<WorldProcess> processes_of(const std::string& directory) {
    std::vector<WorldProcess> found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename();
        pid_t pid = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error != std::errc{} || end != name.data() + name.size() || !lives_in(entry.path(), directory)) continue;
        std::string command = testing::read_file(entry.path() / "comm");
        command.resize(std::min(command.find('\n'), command.size()));
        found.push_back({pid, command});
    }
    return found;
}

bool has_open(pid_t pid, const std::string& path) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error))
        if (std::filesystem::read_symlink(entry.path(), error) == path) return true;
    return false;
}

void end_processes_of(const std::string& directory) {
    testing::wait_until([&] {
        const auto processes = processes_of(directory);
        for (const WorldProcess& process : processes)
            testing::send_signal(process.pid, SIGKILL);
        return processes.empty();
    });
}

}  // namespace blktap::control_test
