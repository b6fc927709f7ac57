// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MessageSocket: whole messages with descriptors over a UNIX socket. SOCK_SEQPACKET keeps a message and its descriptors
// together and ends each message by itself, so there is no framing to get wrong.
//
// Tested by tests/unit/ipc/message_socket_test.cpp.
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

    /// Connects to the socket at `path`; waits at most one second for a listener that is behind with accepting.
    /// Errors: throws std::system_error naming the path (ENOENT, ECONNREFUSED, EACCES, ETIMEDOUT, ENAMETOOLONG).
    static MessageSocket connect_to(const std::string& path);

    /// Sends one message; descriptors are duplicated into it and stay the caller's. Waits for room as long as its
    /// patience lasts, so that a peer that does not read cannot hold us.
    /// Errors: throws std::system_error (EPIPE, ETIMEDOUT; EMSGSIZE: empty, too long or too many descriptors).
    void send(const std::string& text, const std::vector<int>& descriptors = {});
    /// How long send() waits for a peer that does not read: one second unless told.
    void set_patience(std::chrono::nanoseconds patience) noexcept { patience_ = patience; }
    /// From now on receive() takes no descriptor: a message that brings one is Errc::bad_message, and its descriptors
    /// are never this process's. To close a file may take as long as its storage does.
    void refuse_descriptors() noexcept { takes_descriptors_ = false; }
    /// Takes the next message without waiting; nullopt when none is there. An empty message counts as a hang-up.
    /// Errors: throws std::system_error: Errc::peer_closed, Errc::bad_message (too long, too many descriptors; the
    /// message is gone and the connection usable), or errno. Descriptors of a refused message are closed.
    std::optional<Message> receive();
    /// Waits until receive() has a message or an error to give; false when `deadline` came first.
    bool wait_readable(std::chrono::steady_clock::time_point deadline) const;

    int fd() const noexcept { return fd_.get(); }
    /// The process on the other side when it connected (SO_PEERCRED). Errors: throws std::system_error.
    pid_t peer_pid() const;

  private:
    UniqueFd fd_;
    std::chrono::nanoseconds patience_ = std::chrono::seconds(1);
    bool takes_descriptors_ = true;
};

/// A listening socket at a path; the path is removed on destruction, if it still is this socket.
class MessageListener {
  public:
    /// A socket that nobody listens on any more is replaced; one with a live listener, or any other file, is
    /// EADDRINUSE. The socket has mode 0600 from its first moment, whatever the umask. Listeners that start at the same
    /// time take turns by a lock on the path's directory, which must therefore be readable. Errors: throws
    /// std::system_error naming the path.
    explicit MessageListener(std::string path);
    MessageListener(const MessageListener&) = delete;
    MessageListener& operator=(const MessageListener&) = delete;
    ~MessageListener();

    /// The next connection without waiting; nullopt when none is there, or when it died at once. When descriptors ran
    /// out the connection is closed: left in the backlog it would keep fd() readable and the caller spinning.
    std::optional<MessageSocket> accept();
    int fd() const noexcept { return fd_.get(); }

  private:
    void refuse_one() noexcept;

    std::string path_;
    UniqueFd fd_;
    UniqueFd spare_;  ///< given up for a moment to accept, and close, a connection when descriptors ran out
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace blktap::ipc
