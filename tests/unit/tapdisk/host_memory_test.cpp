// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Each case runs in a child process: claimed memory cannot be released, and the other tests should run without it.
#include "tapdisk/host_memory.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "libblktap/base/log.hpp"
#include "libblktap/base/mapping.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/unit/base/captured_stderr.hpp"

using namespace blktap;
using blktap::testing::CapturedStderr;

namespace {

/// Returns the result of `facts`, which runs in a child process.
std::string in_child(const std::function<std::string()>& facts) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const std::string text = facts();
        const ssize_t written = ::write(ends[1], text.data(), text.size());
        ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    ::close(ends[1]);
    std::string text;
    std::array<char, 512> part;
    for (ssize_t got; (got = ::read(ends[0], part.data(), part.size())) > 0;)
        text.append(part.data(), static_cast<std::size_t>(got));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    return text;
}

/// A number of /proc/self/status, in KiB.
long status_kib(const std::string& name) {
    std::ifstream file{"/proc/self/status"};
    long value = -1;
    for (std::string word; file >> word;) {
        if (word == name + ":") file >> value;
    }
    return value;
}

void give_up_capability(unsigned capability) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    ::syscall(SYS_capget, &header, sets.data());
    sets[CAP_TO_INDEX(capability)].effective &= ~CAP_TO_MASK(capability);
    ::syscall(SYS_capset, &header, sets.data());
}

void give_up_locking() {
    give_up_capability(CAP_IPC_LOCK);
    const rlimit little{8 << 20, 8 << 20};
    ::setrlimit(RLIMIT_MEMLOCK, &little);
}

std::string in_words(const HostMemory& memory) {
    return "lock: " + memory.lock.message() + "; flusher: " + memory.io_flusher.message();
}

}  // namespace

TEST_CASE("host memory: where it may, a process locks what it has and will have, but not what it does not use",
          "[unit][tapdisk]") {
    const std::string facts = in_child([] {
        const HostMemory memory = claim_host_memory();
        if (memory.lock) return "not allowed: " + memory.lock.message();
        const Mapping pool = Mapping::anonymous(64 << 20);
        const long before = status_kib("VmRSS");
        pool.data()[0] = std::byte{1};
        const bool all_locked = status_kib("VmLck") > (64 << 10);
        const bool lazy = status_kib("VmRSS") - before < 1024;
        return std::string(all_locked && lazy ? "locked on demand" : "wrong");
    });
    // The sanitizers turn mlockall() into nothing.
    const std::string expected = testing::sanitized ? "wrong"
                                 : ::geteuid() == 0 ? "locked on demand"
                                                    : "not allowed: Operation not permitted";
    CHECK(facts == expected);
}

TEST_CASE("host memory: under a limit nothing is locked, so that no later allocation fails; said in one line",
          "[unit][tapdisk]") {
    const std::string facts = in_child([] {
        give_up_locking();
        log::configure("test", log::Level::info, log::Sink::standard_error);
        const CapturedStderr captured;
        const HostMemory memory = claim_host_memory();
        if (!memory.lock) return std::string("locked under a limit");
        const Mapping pool = Mapping::anonymous(64 << 20);
        return captured.text();
    });
    CHECK_THAT(facts, Catch::Contains("host_memory locked=\"no: Operation not permitted\""));
    CHECK(std::count(facts.begin(), facts.end(), '\n') == 1);
}

TEST_CASE("host memory: allocations do not wait for I/O where that is allowed, in threads too", "[unit][tapdisk]") {
    const std::string facts = in_child([] {
        const HostMemory memory = claim_host_memory();
        int in_thread = -1;
        std::thread{[&] { in_thread = ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0); }}.join();
        // Asking needs the right to set it.
        if (memory.io_flusher)
            return in_thread == -1 ? "not allowed: " + memory.io_flusher.message() : in_words(memory);
        return std::string(in_thread == 1 ? "set" : "not set");
    });
    CHECK((facts == "set" || facts == "not allowed: Operation not permitted"));
}
