// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProcessStarter: starts storage processes (storage_process.hpp), as copies of one small process that runs tapback's
// own program file. So they have no descriptors of tapback or of another disk, and a copy costs less than running a
// program. See docs/decisions/0020.
//
// Tested by tests/unit/tapback/storage/storage_process_test.cpp.
#pragma once

#include <optional>
#include <string>

#include "control/tapback/config/options.hpp"
#include "control/tapback/storage/held_files.hpp"
#include "control/tapback/system/child_process.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/ipc/message_socket.hpp"

namespace blktap::tapback::storage {

class ProcessStarter {
  public:
    struct Settings {
        ImageDirectories directories{};
        log::Level level = log::Level::info;
        log::Sink sink = log::Sink::standard_error;
        /// This very program: an upgrade that replaces the file changes nothing for a tapback that runs.
        std::string program = "/proc/self/exe";
    };

    /// `loop` outlives this. Errors: throws std::system_error: the program cannot be run.
    ProcessStarter(EventLoop& loop, Settings settings);
    ProcessStarter(const ProcessStarter&) = delete;
    ProcessStarter& operator=(const ProcessStarter&) = delete;
    /// Hangs up on the program, which ends. Storage processes go on.
    ~ProcessStarter();

    const ImageDirectories& directories() const noexcept { return settings_.directories; }
    /// Starts a storage process and returns a connection to it, which is closed if the process cannot be made. Errors:
    /// throws std::system_error (EMFILE, ...).
    ipc::MessageSocket start();

  private:
    void run_program();
    void ended();

    EventLoop& loop_;
    const Settings settings_;
    ipc::MessageSocket socket_;
    std::optional<ChildProcess> child_;
    std::optional<EventLoop::Watch> watch_;
};

ProcessStarter::Settings settings_of(const Options& options);

}  // namespace blktap::tapback::storage
