// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskHandle: the interface of a tapdisk: requests to it, messages from it, and its end. TapdiskSource starts and
// finds tapdisks. TapdiskProcess is the one that runs as a process; tests have another one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "control/tapback/storage/file_request.hpp"
#include "control/tapback/system/process_id.hpp"
#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

class TapdiskHandle {
  public:
    /// The tapdisk asks for a file: the callee answers, now or later. May throw std::system_error, which is then the
    /// answer.
    using OpenFile = std::function<void(FileRequest request)>;
    /// Called once, when the process and its I/O are gone. Must not destroy this object: the owner does that later.
    using Ended = std::function<void()>;
    using Done = std::function<void(ipc::Reply)>;
    /// Called when the tapdisk, after "watch", sends the disk's present problems.
    using Problems = std::function<void(const ipc::Problems&)>;
    /// Called when the connection is lost and the process lives, after all calls had their error replies.
    using Lost = std::function<void(const std::string& reason)>;
    struct Hooks {
        OpenFile open_file;
        Ended ended;
        Problems problems = [](const ipc::Problems&) {};
        Lost lost = [](const std::string&) {};
    };

    TapdiskHandle() = default;
    TapdiskHandle(const TapdiskHandle&) = delete;
    TapdiskHandle& operator=(const TapdiskHandle&) = delete;
    virtual ~TapdiskHandle() = default;

    /// Gives the tapdisk to another owner. Not from inside a hook.
    virtual void set_hooks(Hooks hooks) = 0;
    /// Connects to the tapdisk's socket, if there is no connection. Errors: throws std::system_error (ENOENT,
    /// ECONNREFUSED, EMFILE, ...; EBUSY: another process listens there; EPROTO: it had broken the rules of the
    /// connection).
    virtual void connect() = 0;
    virtual bool is_connected() const noexcept = 0;
    /// Sends a message. `done` is called later, and from inside call() only if the message cannot be sent at all. It
    /// gets an error reply if the process ends, or its connection is lost, before the answer.
    template <ipc::DeclaredMessage M>
    void call(const M& message, const std::vector<int>& descriptors, Done done) {
        constexpr bool asks_for_files = std::is_same_v<M, ipc::Open> || std::is_same_v<M, ipc::Resume>;
        send({M::name, message, descriptors, asks_for_files, image_of(message)}, std::move(done));
    }
    /// Asks the tapdisk to end: it finishes its requests, flushes and closes. After a while it is killed.
    virtual void terminate() = 0;
    virtual const ProcessId& id() const noexcept = 0;
    pid_t pid() const noexcept { return id().pid; }
    /// How the tapdisk ended, for people: "killed by signal 9 (SIGKILL)". Only after `ended`.
    virtual const std::string& end_reason() const noexcept = 0;

  protected:
    struct Message {
        const char* name;
        ipc::Json arguments;
        std::vector<int> descriptors;
        bool asks_for_files;              ///< the tapdisk opens its image, and asks for the image's files
        const ipc::OpenArguments* image;  ///< which the tapdisk is to open; null: none, or the one that it had
    };
    virtual void send(const Message& message, Done done) = 0;

  private:
    template <ipc::DeclaredMessage M>
    static const ipc::OpenArguments* image_of(const M& message) noexcept {
        if constexpr (std::is_same_v<M, ipc::Resume>) {
            return message.image ? &*message.image : nullptr;
        } else if constexpr (std::is_same_v<M, ipc::Recover>) {
            return &message.image;
        } else if constexpr (std::is_same_v<M, ipc::Open>) {
            return &message;
        } else {
            return nullptr;
        }
    }
};

/// A question to the installed tapdisk program, which is not answered any more when this is destroyed.
class ProgramCheck {
  public:
    /// `reason`: why not; empty: it can.
    using Done = std::function<void(const std::string& reason)>;

    ProgramCheck() = default;
    ProgramCheck(const ProgramCheck&) = delete;
    ProgramCheck& operator=(const ProgramCheck&) = delete;
    virtual ~ProgramCheck() = default;
};

/// Starts and finds tapdisks.
class TapdiskSource {
  public:
    /// Starts a tapdisk that listens on `socket_path`, and returns it connected. It outlives this process once it has
    /// an image. Errors: throws std::system_error (ENOENT, EMFILE, ...).
    virtual std::unique_ptr<TapdiskHandle> start(const std::string& socket_path, TapdiskHandle::Hooks hooks) = 0;
    /// The tapdisk that an earlier tapback started. It is known by its process, `known`; without that, by listening on
    /// `socket_path`, or by its arguments. It may come without a connection. Null: it has ended.
    /// Errors: throws std::system_error (EMFILE, ETIMEDOUT, EAGAIN, ...): not known yet whether it lives.
    virtual std::unique_ptr<TapdiskHandle> find(const std::optional<ProcessId>& known, const std::string& socket_path,
                                                TapdiskHandle::Hooks hooks) = 0;
    /// Asks the program whether it can go on with a recovery log of this version; calls `done` later. Errors: throws
    /// std::system_error: it cannot be run.
    virtual std::unique_ptr<ProgramCheck> can_adopt(unsigned log_version, ProgramCheck::Done done) = 0;

  protected:
    ~TapdiskSource() = default;
};

}  // namespace blktap::tapback
