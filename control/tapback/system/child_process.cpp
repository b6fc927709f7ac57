// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/child_process.hpp"

#include <csignal>
#include <cstring>
#include <optional>
#include <spawn.h>
#include <sys/wait.h>

#include "control/tapback/system/pid_namespace.hpp"
#include "control/tapback/system/violation_record.hpp"
#include "libblktap/base/error.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say so itself
}

extern char** environ;

namespace blktap::tapback {
namespace {

void require(int error, const char* what) {
    if (error != 0) throw_error({error, std::system_category()}, what);
}

/// Owns posix_spawn's two objects.
class SpawnSettings {
  public:
    explicit SpawnSettings(Place place) {
        require(::posix_spawn_file_actions_init(&actions_), "posix_spawn");
        require(::posix_spawnattr_init(&attributes_), "posix_spawn");
        sigset_t blocked;
        ::sigemptyset(&blocked);
        if (place == Place::own_namespace) ::sigaddset(&blocked, SIGTERM);
        sigset_t all;
        ::sigfillset(&all);
        // A separate session: a signal to tapback's, from a terminal for example, must not end guests' disks.
        require(::posix_spawnattr_setflags(&attributes_,
                                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
                "posix_spawn");
        require(::posix_spawnattr_setsigmask(&attributes_, &blocked), "posix_spawn");
        require(::posix_spawnattr_setsigdefault(&attributes_, &all), "posix_spawn");
    }
    SpawnSettings(const SpawnSettings&) = delete;
    SpawnSettings& operator=(const SpawnSettings&) = delete;
    ~SpawnSettings() {
        ::posix_spawnattr_destroy(&attributes_);
        ::posix_spawn_file_actions_destroy(&actions_);
    }
    /// Passes `fd` on; all other descriptors close on exec.
    void keep(int fd) { require(::posix_spawn_file_actions_adddup2(&actions_, fd, fd), "posix_spawn"); }

    pid_t spawn(const std::vector<std::string>& command, const std::string& program) const {
        std::vector<char*> arguments;
        for (const std::string& argument : command)
            arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        pid_t pid = -1;
        const int error = ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments.data(), environ);
        if (error != 0) throw_error({error, std::system_category()}, program);
        return pid;
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

}  // namespace

std::string ChildProcess::reap() const {
    siginfo_t end{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &end, WEXITED | WNOHANG) != 0 || end.si_pid == 0)
        return "ended";
    if (end.si_code == CLD_EXITED) return "exited with status " + std::to_string(end.si_status);
    const std::string text =
        "killed by signal " + std::to_string(end.si_status) + " (" + ::strsignal(end.si_status) + ')';
    return end.si_status == SIGSYS ? text + ": " + describe_violation(pid) : text;
}

void ChildProcess::kill() const noexcept {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
}

ChildProcess spawn_child(const std::vector<std::string>& command, const std::vector<int>& kept,
                         const std::string& program, Place place) {
    std::optional<NewPidNamespace> next;
    if (place == Place::own_namespace) next.emplace();
    SpawnSettings settings(place);
    for (const int fd : kept)
        settings.keep(fd);
    ChildProcess child{settings.spawn(command, program.empty() ? command.front() : program), {}};
    try {
        child.pidfd = open_pidfd(child.pid);
        return child;
    } catch (const std::exception&) {
        child.kill();
        throw;
    }
}

UniqueFd open_pidfd(pid_t pid) {
    UniqueFd fd(::pidfd_open(pid, 0));
    if (!fd) throw_system_error("pidfd of " + std::to_string(pid));
    return fd;
}

}  // namespace blktap::tapback
