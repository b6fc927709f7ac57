// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Channel: the control protocol over a MessageSocket: requests in both directions, each answered by one reply with the
// same id, all in JSON, all with the protocol's version. docs/control-protocol.md is the protocol's page.
//
//   {"version": 1, "id": 7, "request": "connect", "arguments": {...}}
//   {"version": 1, "id": 7, "result": {...}}
//   {"version": 1, "id": 7, "error": {"code": "wrong-state", "message": "no image is open"}}
//
// Tested by tests/unit/ipc/channel_test.cpp, tests/fuzz/fuzz_control.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "libblktap/base/error.hpp"
#include "libblktap/ipc/error_names.hpp"
#include "libblktap/ipc/message.hpp"
#include "libblktap/ipc/message_socket.hpp"

namespace blktap::ipc {

inline constexpr unsigned protocol_version = 1;
/// Nesting of a message's JSON; "connect" has 5. Copying and writing JSON recurse, so depth costs stack.
inline constexpr int json_depth_max = 16;

struct Request {
    std::uint64_t id = 0;
    std::string name;
    Json arguments = Json::object();
    std::vector<UniqueFd> descriptors;
};

struct Reply {
    std::uint64_t id = 0;          ///< 0: null on the wire, the answer to a message that could not be parsed
    Json result = Json::object();  ///< meaningless when `error_code` is set
    std::string error_code;        ///< empty: success
    std::string error_message;
    std::vector<UniqueFd> descriptors;
};

/// Throws the error of an error reply as the std::system_error that the other side caught; does nothing for a result.
void throw_if_error(const Reply& reply);

/// A parsed message: exactly one of the two.
struct Parsed {
    std::optional<Request> request;
    std::optional<Reply> reply;
};
/// An error reply is read whatever its version, because a peer that does not speak this version refuses in its own.
/// Errors: throws std::system_error (Errc::bad_message, Errc::bad_version) with the reason; descriptors are closed.
Parsed parse_message(Message message);

class Channel {
  public:
    explicit Channel(MessageSocket socket) noexcept : socket_(std::move(socket)) {}

    /// Sends a request and waits for its reply. Requests of the other side that arrive meanwhile are kept for
    /// next_request(): call it after each call(), because kept requests do not make fd() readable. A null or empty
    /// `arguments` is sent as {}. Blocks: for clients, and for a tapdisk that opens a file through its controller.
    /// Errors: throws std::system_error: Errc::peer_closed, ETIMEDOUT, EILSEQ (a string is not UTF-8),
    /// parse_message()'s, or the socket's. An error reply is a value, also one of a peer that could not parse the
    /// request.
    Reply call(const std::string& name, const Json& arguments, const std::vector<int>& descriptors = {},
               std::chrono::milliseconds timeout = std::chrono::seconds(30));
    template <DeclaredMessage M>
    Reply call(const M& message, const std::vector<int>& descriptors = {},
               std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
        return call(M::name, message, descriptors, timeout);
    }

    /// Sends a request and returns its id, without waiting for the reply, which next() will return. For event loops. Do
    /// not mix with call() and next_request() on one channel: they drop such replies. Errors: as call()'s sending.
    std::uint64_t send_request(const std::string& name, const Json& arguments,
                               const std::vector<int>& descriptors = {});
    template <DeclaredMessage M>
    std::uint64_t send_request(const M& message, const std::vector<int>& descriptors = {}) {
        return send_request(M::name, message, descriptors);
    }
    /// Waits for next(); false: nothing came until `deadline`.
    bool wait_readable(std::chrono::steady_clock::time_point deadline) const { return socket_.wait_readable(deadline); }
    /// Returns the next message, request or reply, without waiting. Errors: as next_request().
    std::optional<Parsed> next();

    /// Returns the next request of the other side without waiting. Drops replies to calls that timed out; after some of
    /// them it returns nullopt although more messages are there: fd() stays readable.
    /// Errors: as MessageSocket::receive() and parse_message(). After bad_message or bad_version the connection is
    /// usable: answer with reply_bad_message().
    std::optional<Request> next_request();

    /// Whether next_request() has a kept request, for which fd() is not readable.
    bool has_kept_request() const noexcept { return !requests_.empty(); }

    /// Answers a request; a null `result` is sent as {}. Errors, like all replies: MessageSocket::send()'s.
    void reply(std::uint64_t id, const Json& result, const std::vector<int>& descriptors = {});
    /// `message` is cut at 4 KiB and bytes that are not UTF-8 are escaped, because it may quote what the peer sent.
    void reply_error(std::uint64_t id, std::error_code code, const std::string& message);
    /// Answers a message that could not be parsed: its id is unknown, so null.
    void reply_bad_message(const std::system_error& error);

    /// As MessageSocket::refuse_descriptors().
    void refuse_descriptors() noexcept { socket_.refuse_descriptors(); }
    int fd() const noexcept { return socket_.fd(); }
    pid_t peer_pid() const { return socket_.peer_pid(); }

  private:
    void keep(Request request);

    MessageSocket socket_;
    std::deque<Request> requests_;
    std::uint64_t last_id_ = 0;
};

}  // namespace blktap::ipc
