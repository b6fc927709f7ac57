// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskProcess: one tapdisk, started here or found running, its control connection and its end. Requests are answered
// through callbacks; each is answered exactly once, with an error when the process ends before.
//
// Tested by tests/control.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/tapback/child_process.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

class TapdiskProcess {
  public:
    /// Opens an image file for the tapdisk; the descriptor stays the callee's. May throw std::system_error.
    using OpenFile = std::function<int(const ipc::OpenFileArguments&)>;
    /// Called once, when the process and its I/O are gone. Must not destroy this object: its owner does later.
    using Ended = std::function<void()>;
    using Done = std::function<void(ipc::Reply)>;
    /// Called when the tapdisk, asked to by "watch", tells what is wrong with the disk now.
    using Problems = std::function<void(const ipc::Problems&)>;
    struct Hooks {
        OpenFile open_file;
        Ended ended;
        Problems problems = [](const ipc::Problems&) {};
    };

    /// Starts `command` with "--control `socket_path`" and a connection of its own. It outlives this process once it
    /// has an image. Errors: throws std::system_error (ENOENT, EMFILE, ...).
    static std::unique_ptr<TapdiskProcess> spawn(EventLoop& loop, std::vector<std::string> command,
                                                 const std::string& socket_path, Hooks hooks);
    /// Finds the one that listens on `socket_path`. Errors: throws std::system_error (ENOENT, ECONNREFUSED: none).
    static std::unique_ptr<TapdiskProcess> adopt(EventLoop& loop, const std::string& socket_path, Hooks hooks);
    TapdiskProcess(const TapdiskProcess&) = delete;
    TapdiskProcess& operator=(const TapdiskProcess&) = delete;
    ~TapdiskProcess();

    /// Another owner's from now on. Not from inside a hook.
    void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }
    /// Sends a request. `done` is called later, never from in here, unless the request cannot be sent.
    void call(const std::string& name, const ipc::Json& arguments, const std::vector<int>& descriptors, Done done);
    /// Asks it to end (SIGTERM): it finishes, flushes and closes.
    void terminate() const noexcept;
    pid_t pid() const noexcept { return process_.pid; }
    /// How it ended, for people: "killed by signal 9". Only after `ended`.
    const std::string& end_reason() const noexcept { return end_reason_; }

  private:
    TapdiskProcess(EventLoop& loop, ipc::MessageSocket socket, ChildProcess process, Hooks hooks);
    void receive();
    void handle(ipc::Parsed message);
    void serve(const ipc::Request& request);
    void hang_up(const std::string& reason);
    void ended();

    ipc::Channel channel_;
    ChildProcess process_;
    Hooks hooks_;
    std::map<std::uint64_t, Done> calls_;
    std::string end_reason_ = "ended";
    std::optional<EventLoop::Watch> channel_watch_;
    std::optional<EventLoop::Watch> end_watch_;
};

/// The error reply that stands for "no reply will come".
ipc::Reply error_reply(std::error_code code, const std::string& message);

}  // namespace blktap::tapback
