// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/process_id.hpp"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/tapback/system/child_process.hpp"
#include "libblktap/base/small_file.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/few_descriptors.hpp"
#include "tests/support/process.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::tapback;

TEST_CASE("process id: names a process whatever that calls itself", "[unit][tapback]") {
    const auto before = identify(::getpid());
    REQUIRE(before.has_value());
    CHECK(before->pid == ::getpid());
    CHECK(before->start_ticks > 0);
    char name[16]{};
    ::prctl(PR_GET_NAME, name);
    ::prctl(PR_SET_NAME, ") R 1 2 3) 4 5");
    const auto after = identify(::getpid());
    ::prctl(PR_SET_NAME, name);
    CHECK(after == before);
}

TEST_CASE("process id: finds the process while it lives, and nobody else", "[unit][tapback]") {
    const ChildProcess child = spawn_child({"/bin/sleep", "1000"});
    const auto id = identify(child.pid);
    REQUIRE(id.has_value());
    CHECK(open_process(*id).has_value());
    CHECK_FALSE(open_process({id->pid, id->start_ticks + 1}).has_value());
    {
        const testing::FewDescriptors none{0};
        CHECK(testing::thrown([&] { open_process(*id); }).code() == std::errc::too_many_files_open);
    }
    testing::send_signal(child.pid, SIGKILL);
    siginfo_t end{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child.pid), &end, WEXITED | WNOWAIT) == 0);
    CHECK_FALSE(open_process(*id).has_value());  // though its number is still taken
    REQUIRE(::waitpid(child.pid, nullptr, 0) == child.pid);
    CHECK_FALSE(open_process(*id).has_value());
    CHECK(identify(child.pid) == std::nullopt);
}

TEST_CASE("process id: tapback's own are known by how they were started", "[unit][tapback]") {
    const std::string socket = "/run/tapdisk-test/5-51712.sock";
    const auto started = [&](const std::vector<std::string>& arguments) {
        std::vector<std::string> command{"/bin/sh", "-c", "kill -STOP $$; exit", "sh"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        const ChildProcess child = spawn_child(command);
        // Its arguments are there some moments after it is.
        while (read_small_file("/proc/" + std::to_string(child.pid) + "/cmdline").value_or("").empty())
            ::sched_yield();
        const bool result = was_started_for(child.pid, socket);
        const auto found = find_started_for(socket);
        CHECK(found.has_value() == result);
        if (found) CHECK(*found == child.pid);
        child.kill();
        return result;
    };
    CHECK(started({"--control", socket, "--client-fd", "7"}));
    CHECK(started({"--listen-fd", "6", "--control", socket, "--client-fd", "7"}));
    CHECK_FALSE(started({"--control", socket + "x", "--client-fd", "7"}));
    CHECK_FALSE(started({"--control", socket}));
    CHECK_FALSE(started({"--open", "--control", socket, "--read-only"}));
    CHECK_FALSE(was_started_for(1, socket));
}
