// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapbackClient: one connection of a command to tapback. Shared, so that all commands find the daemon in the same way
// and print the same error when it does not run.
//
// Tested by tests/unit/control/tapback_client_test.cpp.
#pragma once

#include <chrono>
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

  private:
    ipc::Json call(const char* request, const ipc::Json& arguments, std::chrono::milliseconds timeout,
                   const std::vector<int>& descriptors);

    ipc::Channel channel_;
};

}  // namespace blktap
