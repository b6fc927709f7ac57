// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/pid_namespace.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "control/tapback/system/child_process.hpp"
#include "control/tapback/system/empty_network.hpp"
#include "control/tapback/system/process_id.hpp"
#include "tests/support/catch.hpp"

using namespace blktap::tapback;

namespace {

std::string namespace_of(pid_t pid, const std::string& kind = "pid") {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/" + kind);
}

}  // namespace

TEST_CASE("pid namespace: the next child is the first process of its own, and known here by its number",
          "[unit][tapback]") {
    const std::string ours = namespace_of(::getpid());
    const ChildProcess child = [] {
        const NewPidNamespace next;
        return spawn_child({"/bin/sh", "-c", "test $$ = 1 && exit 7; exit 8"});
    }();
    CHECK(identify(child.pid).has_value());
    siginfo_t end{};
    REQUIRE(::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &end, WEXITED | WNOWAIT) == 0);
    CHECK(end.si_pid == child.pid);
    const bool has_rights = ::geteuid() == 0;
    CHECK(child.reap() == (has_rights ? "exited with status 7" : "exited with status 8"));
    CHECK(namespace_of(::getpid()) == ours);
}

TEST_CASE("pid namespace: later children, and threads, are in this process's again", "[unit][tapback]") {
    { const NewPidNamespace unused; }
    const ChildProcess child = spawn_child({"/bin/sleep", "1000"});
    CHECK(namespace_of(child.pid) == namespace_of(::getpid()));
    child.kill();
}

TEST_CASE("empty network: this process stays in its own, which is another one", "[unit][tapback]") {
    const std::string ours = namespace_of(::getpid(), "net");
    const blktap::UniqueFd made = make_empty_network();
    CHECK(static_cast<bool>(made) == (::geteuid() == 0));
    CHECK(namespace_of(::getpid(), "net") == ours);
    if (!made) return;
    const std::string other = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(made.get()));
    CHECK(other != ours);
    CHECK(other.starts_with("net:["));
}
