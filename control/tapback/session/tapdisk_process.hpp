// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskProcess: one tapdisk, started here or found running, its control connection and its end. Requests are answered
// through callbacks, each exactly once: with an error if the process ends first.
//
// The process outlives its connection: a tapdisk whose connection is lost serves its guest as before, and its process
// is ended when its disk is given up. Its messages are bounded, because it serves a hostile guest and this daemon
// serves all disks: one that floods the connection, or sends what is no message, is killed.
//
// Tested by tests/unit/tapback/session/tapdisk_process_test.cpp and tests/control.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/tapback/session/tapdisk_handle.hpp"
#include "control/tapback/session/tapdisk_search.hpp"
#include "control/tapback/system/child_process.hpp"
#include "control/tapback/system/control_groups.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/pace.hpp"
#include "libblktap/ipc/channel.hpp"

namespace blktap::tapback {

/// How a tapdisk is started: where, and with which descriptors besides, which its command names.
struct TapdiskStart {
    Place place = Place::with_us;
    std::vector<int> kept{};
};

class TapdiskProcess : public TapdiskHandle {
  public:
    /// Time between SIGTERM and SIGKILL. A tapdisk answers its requests, flushes and closes, which takes as long as the
    /// storage does. Killed, it loses no write that was answered (docs/DURABILITY.md).
    static constexpr Nanoseconds end_patience = std::chrono::seconds(60);
    /// Messages that are read before other tapdisks and clients have their turn.
    static constexpr int messages_per_wakeup = 16;
    /// Unasked messages at once: the longest chain of images asks for a hundred files.
    static constexpr int unasked_burst = 512;
    static constexpr Nanoseconds unasked_interval = std::chrono::milliseconds(50);

    /// Starts `command` with a connection, and with the socket `socket_path`, which it listens on. Whoever owns the
    /// path removes it when the tapdisk has ended. The tapdisk outlives this process once it has an image. Errors:
    /// throws std::system_error (ENOENT, EMFILE, ...; EADDRINUSE: another process listens there).
    static std::unique_ptr<TapdiskProcess> spawn(EventLoop& loop, std::vector<std::string> command,
                                                 const std::string& socket_path, Hooks hooks,
                                                 const TapdiskStart& how = {});
    /// Finds the tapdisk that an earlier tapback started. It is known by its process, `known`; without that, by
    /// listening on `socket_path`, or by its arguments (`search`). It may come without a connection. Null: it has
    /// ended, and its socket is removed. Errors: throws std::system_error (EMFILE, ETIMEDOUT, EAGAIN, ...): not known
    /// yet whether it lives.
    static std::unique_ptr<TapdiskProcess> find(EventLoop& loop, TapdiskSearch& search,
                                                const std::optional<ProcessId>& known, const std::string& socket_path,
                                                Hooks hooks);
    ~TapdiskProcess() override;

    /// Has its control group removed when it ends; `groups` outlives this.
    void set_groups(const ControlGroups& groups) { groups_ = &groups; }

    void set_hooks(Hooks hooks) override { hooks_ = std::move(hooks); }
    void connect() override;
    bool is_connected() const noexcept override { return channel_watch_.has_value(); }
    /// Sends SIGTERM; after `end_patience`, SIGKILL.
    void terminate() override;
    const ProcessId& id() const noexcept override { return id_; }
    const std::string& end_reason() const noexcept override { return end_reason_; }
    const std::string& socket_path() const noexcept { return socket_path_; }

  private:
    TapdiskProcess(EventLoop& loop, const ProcessId& id, ChildProcess process, Hooks hooks);
    void use(ipc::MessageSocket socket);
    void send(const Message& message, Done done) override;
    std::optional<ipc::Parsed> next_message();
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
    void kill(const std::string& reason);

    EventLoop& loop_;
    const ProcessId id_;
    const ControlGroups* groups_ = nullptr;
    std::string socket_path_;
    std::optional<ipc::Channel> channel_;
    ChildProcess process_;
    Hooks hooks_;
    std::map<std::uint64_t, Done> calls_;
    std::vector<Done> unsent_calls_;  ///< calls that came after the connection was lost
    std::string lost_reason_;
    bool is_banned_ = false;    ///< it was killed for what it said; connect() fails
    bool has_started_ = false;  ///< the tapdisk has answered a request
    Pace unasked_{unasked_burst, unasked_interval};
    std::string end_reason_ = "ended";
    std::optional<ipc::Reply> last_word_;  ///< why the tapdisk could not start
    std::optional<EventLoop::Watch> channel_watch_;
    std::optional<EventLoop::Watch> end_watch_;
    EventLoop::Timer lost_timer_;  ///< after the connection closed: time for the process to end
    EventLoop::Timer kill_timer_;
};

/// Starts and finds tapdisks as processes of this host.
class TapdiskProcesses : public TapdiskSource {
  public:
    /// `command`: the program and its arguments. `place`: own_namespace for tapdisks with a sandbox, which are also
    /// told from which users they take their own, if root starts them, and which control group they enter. `loop` and
    /// `search` outlive this. Errors: throws std::system_error: this host has no users for them.
    TapdiskProcesses(EventLoop& loop, TapdiskSearch& search, std::vector<std::string> command,
                     Place place = Place::with_us, ControlGroups groups = {});
    std::unique_ptr<TapdiskHandle> start(const std::string& socket_path, TapdiskHandle::Hooks hooks) override;
    std::unique_ptr<TapdiskHandle> find(const std::optional<ProcessId>& known, const std::string& socket_path,
                                        TapdiskHandle::Hooks hooks) override;
    std::unique_ptr<ProgramCheck> can_adopt(unsigned log_version, ProgramCheck::Done done) override;

  private:
    EventLoop& loop_;
    TapdiskSearch& search_;
    std::vector<std::string> command_;
    const ControlGroups groups_;
    UniqueFd network_;  ///< of all tapdisks with a sandbox
    TapdiskStart how_;
};

/// The error reply that stands for "no reply will come".
ipc::Reply error_reply(std::error_code code, const std::string& message);
/// Whether a reply is this error.
bool is_error(const ipc::Reply& reply, Errc code);

}  // namespace blktap::tapback
