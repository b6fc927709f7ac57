// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/process.hpp"

#include <csignal>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;

namespace {

bool exists(pid_t pid) {
    return send_signal(pid, 0);
}

}  // namespace

TEST_CASE("process: its exit status, output and environment are as it wished", "[unit]") {
    const TemporaryDirectory directory;
    const ProcessOptions options{.environment = {"WORD=hello"}, .output = directory.path("output")};
    CHECK(run({"/bin/sh", "-c", "echo $WORD; echo again >&2; exit 3"}, options, 10s) == 3);
    CHECK(read_file(directory.path("output")) == "hello\nagain\n");
}

TEST_CASE("process: what cannot be read of a file is left out", "[unit]") {
    CHECK(read_file("/nowhere/file").empty());
    CHECK(read_file("/proc/self/mem").empty());  // as a file of a process that ends: it opens, and its reading fails
    const TemporaryDirectory directory;
    const std::string long_text(10'000, 'x');
    std::ofstream(directory.path("long")) << long_text;
    CHECK(read_file(directory.path("long")) == long_text);
}

TEST_CASE("process: what cannot be run ends with 127", "[unit]") {
    CHECK(run({"/nowhere/program"}, {}, 10s) == 127);
}

TEST_CASE("process: one that a signal ended says which", "[unit]") {
    Process process({"/bin/sleep", "1000"});
    CHECK(process.running());
    process.signal(SIGTERM);
    CHECK(process.wait(10s) == 128 + SIGTERM);
    CHECK_FALSE(process.running());
}

TEST_CASE("process: a signal goes to one process, never to all or to a group", "[unit]") {
    const Process process({"/bin/sleep", "1000"});
    CHECK(send_signal(process.pid(), 0));
    for (const pid_t several : {-process.pid(), -1, 0})
        CHECK_THROWS_AS(send_signal(several, 0), std::invalid_argument);
}

TEST_CASE("process: one that takes too long is killed", "[unit]") {
    CHECK(run({"/bin/sleep", "1000"}, {}, 1ms) == 128 + SIGKILL);
}

TEST_CASE("process: reads a pipe until we close it", "[unit]") {
    Process process({"/bin/cat"}, {.reads_pipe = true});
    CHECK_FALSE(process.wait(20ms));
    process.close_input();
    CHECK(process.wait(10s) == 0);
}

TEST_CASE("process: ends with its owner", "[unit]") {
    pid_t pid = 0;
    {
        const Process process({"/bin/sleep", "1000"});
        pid = process.pid();
        CHECK(exists(pid));
    }
    CHECK_FALSE(exists(pid));
}

TEST_CASE("process: ends when the test that runs it is killed", "[unit]") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t test = ::fork();
    if (test == 0) {
        const Process process({"/bin/sleep", "1000"});
        const pid_t pid = process.pid();
        [[maybe_unused]] const auto written = ::write(ends[1], &pid, sizeof(pid));
        ::raise(SIGKILL);
    }
    pid_t pid = 0;
    REQUIRE(::read(ends[0], &pid, sizeof(pid)) == sizeof(pid));
    ::waitpid(test, nullptr, 0);
    CHECK(wait_until([&] {
        // In a container without an init nobody reaps it: it may stay as a zombie.
        return !exists(pid) || read_file("/proc/" + std::to_string(pid) + "/stat").find(") Z ") != std::string::npos;
    }));
    ::close(ends[0]);
    ::close(ends[1]);
}
