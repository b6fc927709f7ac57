// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What is left to a process in the sandbox. Some of it needs root's rights to give up.
#include "tapdisk/sandbox/sandbox.hpp"

#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <thread>

#include "libblktap/base/unique_fd.hpp"
#include "tests/support/attempts/attempts.hpp"
#include "tests/unit/tapdisk/sandbox/sandboxed_child.hpp"

using namespace blktap;
using testing::end_of_child;

namespace {

constexpr uid_t user = 0x7b000000;

bool is_root() {
    return ::geteuid() == 0;
}

sandbox::Orders orders(sandbox::Mode mode = sandbox::Mode::on) {
    return {mode, is_root() ? std::optional(user) : std::nullopt, -1};
}

/// The end of a child that works inside; 200: the sandbox was refused.
int end_inside(const std::function<int()>& work, sandbox::Mode mode = sandbox::Mode::on, int errors = -1) {
    return end_of_child([&] {
        if (errors >= 0) ::dup2(errors, STDERR_FILENO);
        try {
            const auto missing = sandbox::enter(orders(mode));
            // Only a starter knows of a control group.
            for (const sandbox::Missing& each : missing)
                if (is_root() && each.step != "control group") return 201;
        } catch (const std::system_error&) {
            return 200;
        }
        return work();
    });
}

/// The lines of /proc/PID/status of a child that is inside, and waits.
std::map<std::string, std::string> status_inside() {
    int ready[2], end[2];
    REQUIRE((::pipe(ready) == 0 && ::pipe(end) == 0));
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::close(end[1]);
        sandbox::enter(orders());
        char byte = 'x';
        [[maybe_unused]] auto count = ::write(ready[1], &byte, 1);
        count = ::read(end[0], &byte, 1);
        ::_exit(0);
    }
    char byte = 0;
    ::close(ready[1]);
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    std::map<std::string, std::string> status;
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(":\t");
        if (colon != std::string::npos) status[line.substr(0, colon)] = line.substr(colon + 2);
    }
    for (const int fd : {ready[0], end[0], end[1]})
        ::close(fd);
    ::waitpid(pid, nullptr, 0);
    return status;
}

}  // namespace

TEST_CASE("sandbox: leaves no capability, no way to new ones, and a filter on system calls", "[unit][tapdisk]") {
    auto status = status_inside();
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
        CAPTURE(set);
        CHECK(status[set] == "0000000000000000");
    }
    CHECK(status["NoNewPrivs"] == "1");
    CHECK(status["Seccomp"] == "2");
    if (!is_root()) return;
    CHECK(status["CapBnd"] == "0000000000000000");
    const std::string number = std::to_string(user);
    CHECK(status["Uid"] == number + '\t' + number + '\t' + number + '\t' + number);
    CHECK(status["Gid"] == status["Uid"]);
    CHECK(status["Groups"].find_first_not_of(' ') == std::string::npos);
}

TEST_CASE("sandbox: whatever somebody tries who has taken the process over ends it", "[unit][tapdisk]") {
    const int index = GENERATE(range(0, testing::attempt_count));
    const testing::Attempt& attempt = testing::attempts[index];
    CAPTURE(attempt.what, attempt.call);
    CHECK(end_inside([&] {
              attempt.make();
              return 0;
          }) == -SIGSYS);
}

TEST_CASE("sandbox: to start a process in the newer way is answered as by an old kernel", "[unit][tapdisk]") {
    CHECK(end_inside([] { return ::syscall(SYS_clone3, nullptr, 0) < 0 ? errno : 0; }) == ENOSYS);
}

TEST_CASE("sandbox: what a tapdisk needs works: threads, memory, files and sockets that it has", "[unit][tapdisk]") {
    int sockets[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    const UniqueFd ours(sockets[0]), theirs(sockets[1]);
    const int end = end_inside([&] {
        int result = 1;
        std::thread([&] { result = 0; }).join();
        const auto memory = std::make_unique<char[]>(std::size_t{8} << 20);
        memory[0] = 'x';
        const UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
        if (!file || ::ftruncate(file.get(), 4096) != 0 || ::pwrite(file.get(), memory.get(), 1, 0) != 1) return 2;
        iovec data{memory.get(), 1};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        if (::sendmsg(theirs.get(), &message, MSG_NOSIGNAL) != 1) return 3;
        return result;
    });
    CHECK(end == 0);
}

TEST_CASE("sandbox: an assertion that fails still ends the process", "[unit][tapdisk]") {
    const int end = end_of_child([]() -> int {
        ::signal(SIGABRT, SIG_DFL);  // Catch's handler would print
        sandbox::enter(orders());
        ::abort();
    });
    CHECK(end == -SIGABRT);
}

TEST_CASE("sandbox: for debugging a forbidden call is named before it ends the process", "[unit][tapdisk]") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const bool on_thread = GENERATE(false, true);
    const auto violate = [] { ::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0); };
    const int end = end_inside(
        [&] {
            if (on_thread) std::thread(violate).join();
            violate();
            return 0;
        },
        sandbox::Mode::debug, writer.get());
    writer.reset();
    CHECK(end == -SIGSYS);
    char text[256] = {};
    REQUIRE(::read(reader.get(), text, sizeof text - 1) > 0);
    CHECK_THAT(text, Catch::Contains("sandbox.violation call=socket number=" + std::to_string(SYS_socket)));
}

TEST_CASE("sandbox: turned off it changes nothing", "[unit][tapdisk]") {
    CHECK(end_inside([] { return static_cast<int>(::syscall(SYS_getppid) > 0 ? 0 : 1); }, sandbox::Mode::off) == 0);
}

TEST_CASE("sandbox: root's process does not go on without one of the steps", "[unit][tapdisk]") {
    if (!is_root()) return;
    // Without a user to become it would stay root.
    const int end = end_of_child([] {
        try {
            sandbox::enter({sandbox::Mode::on, std::nullopt, -1});
            return 0;
        } catch (const std::system_error& error) {
            return std::string(error.what()).find("own user") != std::string::npos ? 7 : 8;
        }
    });
    CHECK(end == 7);
}

TEST_CASE("sandbox: the number of this process is the one that the host has", "[unit][tapdisk]") {
    CHECK(sandbox::host_pid() == ::getpid());
    CHECK(sandbox::user_of(1000, 7) == 1007);
}

TEST_CASE("sandbox: people are told what is missing", "[unit][tapdisk]") {
    using sandbox::Mode;
    CHECK(sandbox::describe(Mode::off, {}) == "off");
    CHECK(sandbox::describe(Mode::on, {}) == "on");
    CHECK(sandbox::describe(Mode::debug, {{"own user", {}}}) == "debug without own user");
    CHECK(sandbox::describe(Mode::on, {{"own user", {}}, {"namespaces", {}}}) == "on without own user, namespaces");
}

TEST_CASE("sandbox: it enters the control group that it is given, or says that it is in none", "[unit][tapdisk]") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const UniqueFd group(ends[0]), entrance(ends[1]);
    const int end = end_of_child([&] {
        auto with_group = orders();
        with_group.group = entrance.get();
        const auto missing = sandbox::enter(with_group);
        return missing.empty() || missing[0].step != "control group" ? 7 : 8;
    });
    CHECK(end == 7);
    char text[8] = {};
    REQUIRE(::read(group.get(), text, sizeof text - 1) == 1);
    CHECK(text == std::string("0"));  // who writes it
    const int without = end_of_child([&] {
        auto with_group = orders();
        with_group.group = group.get();  // not for writing
        const auto missing = sandbox::enter(with_group);
        return !missing.empty() && missing[0].step == "control group" && missing[0].error ? 7 : 8;
    });
    CHECK(without == 7);
}
