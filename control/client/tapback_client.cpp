// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/client/tapback_client.hpp"

#include <cstdlib>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap {
namespace {

ipc::MessageSocket connect_to(const std::string& socket_path) {
    try {
        return ipc::MessageSocket::connect_to(socket_path);
    } catch (const std::system_error& error) {
        const bool nobody_there = error.code() == std::errc::no_such_file_or_directory ||
                                  error.code() == std::errc::connection_refused ||
                                  error.code() == std::errc::not_a_directory;
        throw_error(error.code(),
                    (nobody_there ? "tapback is not running: " : "cannot talk to tapback: ") + socket_path);
    }
}

/// "30 s", or "1.5 s"
std::string seconds(std::chrono::milliseconds time) {
    std::string text = std::to_string(time.count() / 1000);
    if (const auto tenths = time.count() / 100 % 10; tenths != 0) text += '.' + std::to_string(tenths);
    return text + " s";
}

}  // namespace

std::string default_tapback_socket() {
    const char* path = std::getenv("TAPBACK_SOCKET");
    return path != nullptr && *path != '\0' ? path : ipc::tapback_socket_path;
}

TapbackClient::TapbackClient(const std::string& socket_path) : channel_(connect_to(socket_path)) {}

ipc::Json TapbackClient::call(const char* request, const ipc::Json& arguments, std::chrono::milliseconds timeout,
                              const std::vector<int>& descriptors) {
    ipc::Reply reply;
    try {
        reply = channel_.call(request, arguments, descriptors, timeout);
    } catch (const std::system_error& error) {
        if (error.code() == std::errc::timed_out) {
            throw_reason(error.code(),
                         "tapback did not answer '" + std::string(request) + "' within " + seconds(timeout));
        }
        if (error.code() == Errc::peer_closed || error.code() == std::errc::broken_pipe ||
            error.code() == std::errc::connection_reset) {
            throw_reason(Errc::peer_closed, "tapback went away before it answered '" + std::string(request) + "'");
        }
        throw;
    }
    ipc::throw_if_error(reply);
    return std::move(reply.result);
}

}  // namespace blktap
