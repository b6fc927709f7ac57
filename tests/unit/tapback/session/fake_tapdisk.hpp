// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FakeTapdisk: a tapdisk that keeps its requests until the test answers them. FakeTapdisks: where a test gets the
// started tapdisks, and puts those that are to be found.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/tapback/session/tapdisk_handle.hpp"
#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"

namespace blktap::tapback {

class FakeTapdisk : public TapdiskHandle {
  public:
    FakeTapdisk(pid_t pid, Hooks hooks) : id_{.pid = pid, .start_ticks = 7}, hooks_(std::move(hooks)) {}

    void set_hooks(Hooks hooks) override { hooks_ = std::move(hooks); }
    void connect() override {
        if (!reachable) throw_error(std::make_error_code(std::errc::connection_refused), "its socket");
        connected_ = true;
    }
    bool is_connected() const noexcept override { return connected_; }
    void terminate() override { terminated = true; }
    const ProcessId& id() const noexcept override { return id_; }
    const std::string& end_reason() const noexcept override { return reason_; }

    /// Names of what waits for an answer, each with a blank behind it.
    std::string asked() const {
        std::string names;
        for (const Call& call : calls_)
            names += call.name + ' ';
        return names;
    }
    const ipc::Json& arguments() const { return calls_.front().arguments; }
    /// Answers the oldest.
    void answer(const ipc::Json& result = ipc::Json::object()) {
        ipc::Reply reply;
        reply.result = result;
        take()(std::move(reply));
    }
    void fail(std::error_code code, const std::string& message) {
        ipc::Reply reply;
        reply.error_code = ipc::error_code_name(code);
        reply.error_message = message;
        take()(std::move(reply));
    }
    /// The connection is gone, and the process lives.
    void lose() {
        connected_ = reachable = false;
        fail_all();
        hooks_.lost("it hung up");
    }
    /// The process is gone.
    void end(const std::string& reason) {
        reason_ = reason;
        fail_all();
        hooks_.ended();
    }

    std::size_t logs_given = 0;  ///< by "recover" and "give-logs"; the latter needs no answer
    bool reachable = true;
    bool terminated = false;

  protected:
    void send(const Message& message, Done done) override {
        const bool gives_logs = std::string(message.name) == ipc::GiveLogs::name;
        if (gives_logs || std::string(message.name) == ipc::Recover::name) logs_given = message.descriptors.size();
        if (!gives_logs) calls_.push_back({message.name, message.arguments, std::move(done)});
    }

  private:
    struct Call {
        std::string name;
        ipc::Json arguments;
        Done done;
    };
    Done take() {
        REQUIRE_FALSE(calls_.empty());
        Done done = std::move(calls_.front().done);
        calls_.pop_front();
        return done;
    }
    void fail_all() {
        for (auto count = calls_.size(); count > 0; --count)
            fail(make_error_code(Errc::peer_closed), "gone");
    }

    const ProcessId id_;
    Hooks hooks_;
    bool connected_ = true;
    std::string reason_;
    std::deque<Call> calls_;
};

class FakeTapdisks : public TapdiskSource {
  public:
    std::unique_ptr<TapdiskHandle> start(const std::string& socket_path, TapdiskHandle::Hooks hooks) override {
        if (fails) throw_error(std::make_error_code(std::errc::no_such_file_or_directory), "tapdisk");
        socket = socket_path;
        return make(std::move(hooks));
    }
    std::unique_ptr<TapdiskHandle> find(const std::optional<ProcessId>&, const std::string& socket_path,
                                        TapdiskHandle::Hooks hooks) override {
        if (fails) throw_error(std::make_error_code(std::errc::too_many_files_open), "a socket");
        socket = socket_path;
        return runs ? make(std::move(hooks)) : nullptr;
    }

    std::unique_ptr<ProgramCheck> can_adopt(unsigned log_version, ProgramCheck::Done done) override {
        asked_version = log_version;
        checked = std::move(done);
        return std::make_unique<ProgramCheck>();
    }

    unsigned asked_version = 0;
    ProgramCheck::Done checked{};  ///< for the test to call
    bool fails = false;            ///< none can be started, nor looked for
    bool runs = true;              ///< the one that is looked for
    std::string socket{};
    FakeTapdisk* last = nullptr;
    pid_t next_pid = 100;

  private:
    std::unique_ptr<TapdiskHandle> make(TapdiskHandle::Hooks hooks) {
        auto made = std::make_unique<FakeTapdisk>(next_pid++, std::move(hooks));
        last = made.get();
        return made;
    }
};

}  // namespace blktap::tapback
