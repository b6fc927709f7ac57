// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskProcess: one tapdisk, started here or found running, its control connection and its end. Requests are answered
// through callbacks; each is answered exactly once, with an error when the process ends before.
//
// The process and the connection are two things: a tapdisk whose connection is lost serves its guest as before, and is
// ended as a process when its disk is given up. What it says is bounded, because it serves a hostile guest and this
// daemon serves all disks.
//
// Tested by tests/unit/tapback/tapdisk_process_test.cpp and tests/control.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/tapback/child_process.hpp"
#include "control/tapback/tapdisk_handle.hpp"
#include "control/tapback/tapdisk_search.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/pace.hpp"
#include "libblktap/ipc/channel.hpp"

namespace blktap::tapback {

class TapdiskProcess : public TapdiskHandle {
  public:
    /// Between SIGTERM and SIGKILL. A tapdisk answers what it has, flushes and closes, which takes as long as the
    /// storage does; one that is killed loses nothing that was answered (docs/DURABILITY.md).
    static constexpr Nanoseconds end_patience = std::chrono::seconds(60);
    /// Messages that are taken before others have their turn.
    static constexpr int messages_per_wakeup = 16;
    /// What one may say that nobody waits for: the longest chain of images asks for a hundred files at once.
    static constexpr int unasked_burst = 512;
    static constexpr Nanoseconds unasked_interval = std::chrono::milliseconds(50);

    /// Starts `command` with "--control `socket_path`" and a connection of its own. It outlives this process once it
    /// has an image. Errors: throws std::system_error (ENOENT, EMFILE, ...).
    static std::unique_ptr<TapdiskProcess> spawn(EventLoop& loop, std::vector<std::string> command,
                                                 const std::string& socket_path, Hooks hooks);
    /// Finds the one that an earlier tapback started: by its process, or, where that was not written down, by who
    /// listens on `socket_path`, or by how it was started, which `search` knows. It may come without a connection.
    /// Null: it has ended. Errors: throws std::system_error (EMFILE, ETIMEDOUT, EAGAIN, ...): it cannot be said, yet,
    /// whether it lives.
    static std::unique_ptr<TapdiskProcess> find(EventLoop& loop, TapdiskSearch& search,
                                                const std::optional<ProcessId>& known, const std::string& socket_path,
                                                Hooks hooks);
    ~TapdiskProcess() override;

    void set_hooks(Hooks hooks) override { hooks_ = std::move(hooks); }
    void connect() override;
    bool is_connected() const noexcept override { return channel_watch_.has_value(); }
    /// SIGTERM. One that does not end within `end_patience` is killed.
    void terminate() override;
    const ProcessId& id() const noexcept override { return id_; }
    const std::string& end_reason() const noexcept override { return end_reason_; }
    const std::string& socket_path() const noexcept { return socket_path_; }

  private:
    TapdiskProcess(EventLoop& loop, const ProcessId& id, ChildProcess process, Hooks hooks);
    void use(ipc::MessageSocket socket);
    void send(const Message& message, Done done) override;
    void receive();
    void handle(ipc::Parsed message);
    void serve(const ipc::Request& request);
    void ask_for_file(const ipc::Request& request);
    void hang_up() noexcept;
    void drop_connection(const std::string& reason);
    void ban(const std::string& reason);
    void connection_lost();
    void answer_all(std::error_code code, const std::string& message);
    void ended();
    void kill();

    EventLoop& loop_;
    const ProcessId id_;
    std::string socket_path_;
    std::optional<ipc::Channel> channel_;
    ChildProcess process_;
    Hooks hooks_;
    std::map<std::uint64_t, Done> calls_;
    std::vector<Done> unsent_calls_;  ///< the connection was lost before they were sent
    std::string lost_reason_;
    bool is_banned_ = false;    ///< it is not to be connected to again
    bool has_started_ = false;  ///< it has answered something
    Pace unasked_{unasked_burst, unasked_interval};
    std::string end_reason_ = "ended";
    std::optional<ipc::Reply> last_word_;  ///< why it could not start
    std::optional<EventLoop::Watch> channel_watch_;
    std::optional<EventLoop::Watch> end_watch_;
    EventLoop::Timer lost_timer_;  ///< the connection is closed: is it the process's end?
    EventLoop::Timer kill_timer_;
};

/// Tapdisks as processes of this host.
class TapdiskProcesses : public TapdiskSource {
  public:
    /// `command`: the program and its arguments. `loop` and `search` outlive this.
    TapdiskProcesses(EventLoop& loop, TapdiskSearch& search, std::vector<std::string> command)
        : loop_(loop), search_(search), command_(std::move(command)) {}
    std::unique_ptr<TapdiskHandle> start(const std::string& socket_path, TapdiskHandle::Hooks hooks) override {
        return TapdiskProcess::spawn(loop_, command_, socket_path, std::move(hooks));
    }
    std::unique_ptr<TapdiskHandle> find(const std::optional<ProcessId>& known, const std::string& socket_path,
                                        TapdiskHandle::Hooks hooks) override {
        return TapdiskProcess::find(loop_, search_, known, socket_path, std::move(hooks));
    }

  private:
    EventLoop& loop_;
    TapdiskSearch& search_;
    const std::vector<std::string> command_;
};

/// The error reply that stands for "no reply will come".
ipc::Reply error_reply(std::error_code code, const std::string& message);
/// Whether a reply is this error.
bool is_error(const ipc::Reply& reply, Errc code);

}  // namespace blktap::tapback
