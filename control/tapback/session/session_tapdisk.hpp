// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SessionTapdisk: the tapdisk of a session. It was started here, was found again, or came from another session, and
// stays until its process has ended. One that does not answer is asked again at growing intervals.
//
// Tested by tests/unit/tapback/session/disk_session_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/tapback/session/local_log_files.hpp"
#include "control/tapback/session/session_machine.hpp"
#include "control/tapback/session/tapdisk_handle.hpp"
#include "libblktap/base/event_loop.hpp"

namespace blktap::tapback {

/// Returns the event for a tapdisk's answer about its state. `only_reads`: the tapdisk came from block-tap and its disk
/// is read-only.
SessionEvent event_of(const ipc::DiskState& disk, bool only_reads, const std::optional<ipc::DeviceDescription>& device);

class SessionTapdisk {
  public:
    struct Places {
        EventLoop& loop;
        TapdiskSource& tapdisks;
        std::string run_directory;
    };
    struct Hooks {
        /// What the tapdisk calls.
        std::function<TapdiskHandle::Hooks()> of_tapdisk;
        /// It is time to ask it again.
        std::function<void()> retry;
    };

    /// None. `usual_socket`: the name of the socket's file, unless the tapdisk came with another one. All of `places`
    /// outlives this.
    SessionTapdisk(Places places, std::string usual_socket, Hooks hooks);
    SessionTapdisk(const SessionTapdisk&) = delete;
    SessionTapdisk& operator=(const SessionTapdisk&) = delete;
    /// Leaves it running.
    ~SessionTapdisk();

    /// What an earlier tapback recorded; find() follows.
    void restore(const std::string& socket, const std::optional<ProcessId>& process);
    /// Looks for it. Errors: throws std::system_error: not known yet.
    enum class Found : std::uint8_t { nothing, recorded, another };  ///< `another`: not the recorded process
    Found find();
    void forget_process() noexcept { process_.reset(); }
    /// Starts one. Errors: throws std::system_error.
    void start();
    /// Takes the tapdisk of another session, which then has none. Not from inside a hook.
    void take(SessionTapdisk& from);
    /// Its process has ended: removes its socket. tidy() destroys its object.
    void retire();
    /// Not from inside a hook.
    void tidy() noexcept { retired_.reset(); }
    /// The next one is started on the usual socket: an old tapdisk may still be about to remove its own.
    void use_usual_socket() noexcept { socket_.clear(); }

    /// Calls the hook `retry` after a while, which doubles each time up to a limit.
    void ask_later();
    void stop_asking() noexcept { retry_timer_.disarm(); }
    bool is_asked_later() const noexcept { return retry_timer_.armed(); }
    /// It has answered: the next wait is short again.
    void answered() noexcept;

    /// Null: there is none, or it has ended.
    TapdiskHandle* get() const noexcept { return tapdisk_.get(); }
    TapdiskHandle* operator->() const noexcept { return tapdisk_.get(); }
    std::string pid_text() const { return std::to_string(tapdisk_->pid()); }

    /// Of the disk's local rings, whichever tapdisk serves them.
    const LocalLogFiles& local_logs() const noexcept { return local_logs_; }
    /// Has it use them for rings that connect from now on.
    void give_logs();

    // For the record of a disk.

    const std::optional<ProcessId>& process() const noexcept { return process_; }
    /// Empty: the usual one.
    const std::string& socket() const noexcept { return socket_; }
    std::string socket_path() const { return places_.run_directory + '/' + socket_name(); }

  private:
    const std::string& socket_name() const noexcept { return socket_.empty() ? usual_socket_ : socket_; }

    const Places places_;
    const std::string usual_socket_;
    const Hooks hooks_;
    const LocalLogFiles local_logs_;
    std::string socket_;
    std::unique_ptr<TapdiskHandle> tapdisk_;
    std::unique_ptr<TapdiskHandle> retired_;  ///< has ended
    std::optional<ProcessId> process_;        ///< of `tapdisk_`, or of an earlier tapback's tapdisk
    EventLoop::Timer retry_timer_;
    Nanoseconds retry_delay_;
};

}  // namespace blktap::tapback
