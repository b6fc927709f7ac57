// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Process: a program that a test runs. It does not outlive the test: the owner kills it, and the kernel does when the
// test itself is killed.
//
// Tested by tests/unit/xenstore/process_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

struct ProcessOptions {
    std::vector<std::string> environment{};  ///< "NAME=value", added to the test's environment or replacing its values
    std::string output{};                    ///< file to which its standard output and error go; empty: the test's own
    bool reads_pipe = false;                 ///< its standard input is a pipe from the test, else /dev/null
    bool outlives_us = false;                ///< only its owner ends it
};

class Process {
  public:
    /// No program.
    Process() = default;
    /// Starts `command`: a program's path and its arguments. A program that cannot be run ends with 127.
    /// Errors: throws std::system_error. Context: unless it outlives us, the thread that calls this must live as long
    /// as the process.
    explicit Process(const std::vector<std::string>& command, const ProcessOptions& options = {});
    Process(Process&& other) noexcept;
    Process& operator=(Process&& other) noexcept;
    /// Kills the program if it still runs.
    ~Process() { kill(); }

    /// -1: no program was started, or wait() has returned its status.
    pid_t pid() const noexcept { return pid_; }
    bool running() noexcept { return pid_ > 0 && !wait(Nanoseconds(0)); }
    void signal(int number) const noexcept;
    /// Closes its standard input, if that is a pipe.
    void close_input() noexcept { input_.reset(); }
    /// Returns its exit status as a shell reports it: 128 + N if signal N killed it. nullopt: it still runs.
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

/// Returns the contents of a file; empty if there is none. A file of /proc may end early, with the process that it is
/// of.
std::string read_file(const std::string& path);

/// Sends a signal (0: none) to one process. Returns false if there is no such process. Errors: throws
/// std::invalid_argument for a pid that kill(2) would take for several processes, as one is that was looked for in
/// vain.
bool send_signal(pid_t pid, int number);

/// Descriptors that a process has open; 0: it has gone.
std::size_t descriptors_of(pid_t pid);
/// Memory that a process has; 0: it has gone.
std::uint64_t resident_kib_of(pid_t pid);

/// Polls `condition` until it is true; returns false if it was not within `limit`.
template <class Condition>
bool wait_until(Condition condition, Nanoseconds limit = std::chrono::seconds(20));

/// The pause between two polls of wait_until().
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
