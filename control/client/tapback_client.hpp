// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapbackClient: one connection of a command to tapback. Shared, so that all commands find the daemon in the same way
// and print the same error when it does not run.
//
// Tested by tests/unit/control/tapback_client_test.cpp.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/ipc/channel.hpp"

namespace blktap {

/// Where tapback listens: $TAPBACK_SOCKET, or /run/tapdisk/tapback.sock.
std::string default_tapback_socket();

class TapbackClient {
  public:
    /// Errors: throws std::system_error ("tapback is not running: ...", or that its socket may not be used).
    explicit TapbackClient(const std::string& socket_path);

    /// Sends a message and waits for its result. Blocks.
    /// Errors: throws std::system_error: that of an error reply; with a sentence about tapback ETIMEDOUT (no reply in
    /// time) and Errc::peer_closed (the connection was closed).
    template <ipc::DeclaredMessage M>
    typename M::Result call(const M& message, std::chrono::milliseconds timeout,
                            const std::vector<int>& descriptors = {}) {
        return call_for_json(message, timeout, descriptors).template get<typename M::Result>();
    }
    /// The same, but returns the result as tapback wrote it, with unknown fields, to be printed.
    template <ipc::DeclaredMessage M>
    ipc::Json call_for_json(const M& message, std::chrono::milliseconds timeout,
                            const std::vector<int>& descriptors = {}) {
        return call(M::name, message, timeout, descriptors);
    }

    /// Sends all messages without waiting for each reply, and returns the results in the order of the messages;
    /// nullopt: an error reply, or none `timeout` after a message was sent. Blocks. Errors: throws std::system_error:
    /// those of the connection, and nonsense in a result.
    template <ipc::DeclaredMessage M>
    std::vector<std::optional<typename M::Result>> call_all(const std::vector<M>& messages,
                                                            std::chrono::milliseconds timeout) {
        std::vector<std::optional<typename M::Result>> results;
        for (const auto& reply : call_all(M::name, {messages.begin(), messages.end()}, timeout))
            reply ? results.emplace_back(reply->template get<typename M::Result>()) : results.emplace_back();
        return results;
    }

  private:
    std::vector<std::optional<ipc::Json>> call_all(const char* request, const std::vector<ipc::Json>& arguments,
                                                   std::chrono::milliseconds timeout);
    ipc::Json call(const char* request, const ipc::Json& arguments, std::chrono::milliseconds timeout,
                   const std::vector<int>& descriptors);

    ipc::Channel channel_;
};

}  // namespace blktap
