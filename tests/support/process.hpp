// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Process: a program that a test runs. It does not outlive the test: the owner kills it, and the kernel does when the
// test itself is killed.
//
// Tested by tests/unit/xenstore/process_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

struct ProcessOptions {
    std::vector<std::string> environment{};  ///< "NAME=value", added to ours or in its place
    std::string output{};                    ///< a file that its standard output and error are appended to; empty: ours
    bool reads_pipe = false;                 ///< its standard input is a pipe from us, else /dev/null
    bool outlives_us = false;                ///< nobody but its owner ends it
};

class Process {
  public:
    /// Nothing runs.
    Process() = default;
    /// Starts `command`: a program's path and its arguments. A program that cannot be run ends with 127.
    /// Errors: throws std::system_error. Context: unless it outlives us, the thread that calls this must live as long
    /// as the process.
    explicit Process(const std::vector<std::string>& command, const ProcessOptions& options = {});
    Process(Process&& other) noexcept;
    Process& operator=(Process&& other) noexcept;
    /// kill() where it still runs.
    ~Process() { kill(); }

    /// -1: nothing was started, or its end was waited for.
    pid_t pid() const noexcept { return pid_; }
    bool running() noexcept { return pid_ > 0 && !wait(Nanoseconds(0)); }
    void signal(int number) const noexcept;
    /// Closes its standard input, where that is a pipe.
    void close_input() noexcept { input_.reset(); }
    /// Its exit status as a shell says it: 128 + N when signal N killed it. nullopt: it runs still.
    std::optional<int> wait(Nanoseconds limit) noexcept;
    /// SIGKILL, and waits until it is gone.
    void kill() noexcept;

  private:
    pid_t pid_ = -1;
    UniqueFd handle_;  ///< a pidfd
    UniqueFd input_;
    int status_ = 0;
};

/// Runs `command` to its end, and returns its exit status. A program that does not end within `limit` is killed: 137.
int run(const std::vector<std::string>& command, const ProcessOptions& options, Nanoseconds limit);

/// All of a file; empty when there is none.
std::string read_file(const std::string& path);

/// Asks `condition` again and again until it is true; false: it was not within `limit`.
template <class Condition>
bool wait_until(Condition condition, Nanoseconds limit = std::chrono::seconds(20));

/// A pause between two questions of wait_until().
void pause_between_looks() noexcept;

template <class Condition>
bool wait_until(Condition condition, Nanoseconds limit) {
    const MonotonicClock clock;
    const Nanoseconds deadline = clock.now() + limit;
    while (!condition()) {
        if (clock.now() >= deadline) return condition();
        pause_between_looks();
    }
    return true;
}

}  // namespace blktap::testing
