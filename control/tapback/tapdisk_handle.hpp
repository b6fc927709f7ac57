// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskHandle: a tapdisk as whoever has it served by it sees it: what it is asked, what it says, and its end; and
// TapdiskSource, where they come from. The one that runs as a process is TapdiskProcess; tests have another one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "control/tapback/process_id.hpp"
#include "control/tapback/storage/file_request.hpp"
#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

class TapdiskHandle {
  public:
    /// The tapdisk asks for a file: the callee answers it, now or later. May throw std::system_error, which is the
    /// answer.
    using OpenFile = std::function<void(FileRequest request)>;
    /// Called once, when the process and its I/O are gone. Must not destroy this object: its owner does later.
    using Ended = std::function<void()>;
    using Done = std::function<void(ipc::Reply)>;
    /// Called when the tapdisk, asked to by "watch", tells what is wrong with the disk now.
    using Problems = std::function<void(const ipc::Problems&)>;
    /// Called when the connection is lost and the process lives; calls have had their error replies.
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

    /// Another owner's from now on. Not from inside a hook.
    virtual void set_hooks(Hooks hooks) = 0;
    /// Connects to its socket, when it has no connection. Errors: throws std::system_error (ENOENT, ECONNREFUSED,
    /// EMFILE, ...; EBUSY: another process listens there; EPROTO: it was too noisy to be listened to again).
    virtual void connect() = 0;
    virtual bool is_connected() const noexcept = 0;
    /// Sends a message. `done` is called later, never from in here, unless the message is none that can be sent; with
    /// an error reply when the process ends, or its connection is lost, before.
    template <ipc::DeclaredMessage M>
    void call(const M& message, const std::vector<int>& descriptors, Done done) {
        constexpr bool asks_for_files = std::is_same_v<M, ipc::Open> || std::is_same_v<M, ipc::Resume>;
        send({M::name, message, descriptors, asks_for_files}, std::move(done));
    }
    /// Asks it to end: it finishes, flushes and closes. One that does not is killed, by and by.
    virtual void terminate() = 0;
    virtual const ProcessId& id() const noexcept = 0;
    pid_t pid() const noexcept { return id().pid; }
    /// How it ended, for people: "killed by signal 9 (SIGKILL)". Only after `ended`.
    virtual const std::string& end_reason() const noexcept = 0;

  protected:
    struct Message {
        const char* name;
        ipc::Json arguments;
        std::vector<int> descriptors;
        bool asks_for_files;  ///< the tapdisk opens its image, and asks for what that has
    };
    virtual void send(const Message& message, Done done) = 0;
};

/// Where tapdisks come from.
class TapdiskSource {
  public:
    /// One that listens on `socket_path`, with a connection. It outlives this process once it has an image. Errors:
    /// throws std::system_error (ENOENT, EMFILE, ...).
    virtual std::unique_ptr<TapdiskHandle> start(const std::string& socket_path, TapdiskHandle::Hooks hooks) = 0;
    /// The one that an earlier tapback started: by its process, or, where that was not written down, by who listens on
    /// `socket_path`, or by how it was started. It may come without a connection. Null: it has ended.
    /// Errors: throws std::system_error (EMFILE, ETIMEDOUT, EAGAIN, ...): it cannot be said, yet, whether it lives.
    virtual std::unique_ptr<TapdiskHandle> find(const std::optional<ProcessId>& known, const std::string& socket_path,
                                                TapdiskHandle::Hooks hooks) = 0;

  protected:
    ~TapdiskSource() = default;
};

}  // namespace blktap::tapback
