// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MessageSocket: whole messages with descriptors over a UNIX socket. SOCK_SEQPACKET keeps a message and its descriptors
// together and preserves message boundaries, so there is no framing to get wrong.
//
// Tested by tests/unit/ipc/message_socket_test.cpp, tests/unit/ipc/bound_socket_test.cpp.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::ipc {

inline constexpr std::size_t message_size_max_bytes = std::size_t{64} * 1024;  // a stats reply is about 4 KiB
inline constexpr std::size_t message_descriptors_max = 8;  // an image with a long chain sends several messages

struct Message {
    std::string text;
    std::vector<UniqueFd> descriptors;
};

class MessageSocket {
  public:
    MessageSocket() noexcept = default;
    explicit MessageSocket(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

    /// Connects to the socket at `path`; waits at most one second if the listener's backlog is full.
    /// Errors: throws std::system_error naming the path (ENOENT, ECONNREFUSED, EACCES, ETIMEDOUT, ENAMETOOLONG).
    static MessageSocket connect_to(const std::string& path);

    /// Sends one message; descriptors are duplicated into it and stay the caller's. Waits for room as long as the
    /// patience lasts, so that a peer that does not read cannot block this process.
    /// Errors: throws std::system_error (EPIPE, ETIMEDOUT; EMSGSIZE: empty, too long or too many descriptors).
    void send(const std::string& text, const std::vector<int>& descriptors = {});
    /// Sets how long send() waits for a peer that does not read; by default one second.
    void set_patience(std::chrono::nanoseconds patience) noexcept { patience_ = patience; }
    /// From now on a received message with descriptors is Errc::bad_message, and its descriptors never enter this
    /// process: closing a file may block for as long as its storage does.
    void refuse_descriptors() noexcept { takes_descriptors_ = false; }
    /// Returns the next message without waiting; nullopt if there is none. An empty message counts as a hang-up.
    /// Errors: throws std::system_error: Errc::peer_closed, Errc::bad_message (too long, too many descriptors; the
    /// message is gone and the connection usable), or errno. Descriptors of a refused message are closed.
    std::optional<Message> receive();
    /// Waits until receive() would return a message or throw; returns false if `deadline` came first.
    bool wait_readable(std::chrono::steady_clock::time_point deadline) const;

    int fd() const noexcept { return fd_.get(); }
    /// The process on the other side when it connected (SO_PEERCRED). Errors: throws std::system_error.
    pid_t peer_pid() const;

  private:
    UniqueFd fd_;
    std::chrono::nanoseconds patience_ = std::chrono::seconds(1);
    bool takes_descriptors_ = true;
};

/// Makes a socket at `path` on which a process may listen, this one or another that gets the descriptor. A socket that
/// nobody listens on any more is replaced; a socket with a listener, or any other file, is EADDRINUSE. The socket has
/// mode 0600 from its first moment, whatever the umask. Errors: throws std::system_error naming the path.
UniqueFd bind_message_socket(const std::string& path);

/// A listening socket. One that it made is removed from its path on destruction, if it still is there.
class MessageListener {
  public:
    /// Makes a socket as bind_message_socket() does, and listens. A lock on the path's directory, which must therefore
    /// be readable, serialises listeners that start at the same time.
    explicit MessageListener(std::string path);
    /// Listens on a socket that another process has made, and will remove. Errors: throws std::system_error.
    explicit MessageListener(UniqueFd bound);
    MessageListener(const MessageListener&) = delete;
    MessageListener& operator=(const MessageListener&) = delete;
    ~MessageListener();

    /// Returns the next connection without waiting; nullopt if there is none, or it is closed already. When the process
    /// has no free descriptor the connection is closed: left in the backlog it would keep fd() readable and the caller
    /// spinning.
    std::optional<MessageSocket> accept();
    int fd() const noexcept { return fd_.get(); }
    /// The socket stays at its path: this process may remove nothing later. The next listener replaces it.
    void leave_path() noexcept { path_.clear(); }

  private:
    void listen();
    void refuse_one() noexcept;

    std::string path_;  ///< empty: another process's
    UniqueFd fd_;
    UniqueFd spare_;  ///< closed for a moment to accept, and close, a connection when no descriptor is free
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace blktap::ipc
