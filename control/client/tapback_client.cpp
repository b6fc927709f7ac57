// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/client/tapback_client.hpp"

#include <cstdlib>
#include <map>

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

/// Throws `error`, which tapback's connection had before it answered, in words for people.
[[noreturn]] void throw_unanswered(const std::system_error& error, const char* request,
                                   std::chrono::milliseconds timeout) {
    if (error.code() == std::errc::timed_out) {
        throw_reason(error.code(), "tapback did not answer '" + std::string(request) + "' within " + seconds(timeout));
    }
    if (error.code() == Errc::peer_closed || error.code() == std::errc::broken_pipe ||
        error.code() == std::errc::connection_reset) {
        throw_reason(Errc::peer_closed, "tapback went away before it answered '" + std::string(request) + "'");
    }
    throw error;
}

/// Of one client: neither side's socket fills up with more, and nobody waits for the other to read.
constexpr std::size_t under_way_max = 100;

}  // namespace

std::string default_tapback_socket() {
    const char* path = std::getenv("TAPBACK_SOCKET");
    return path != nullptr && *path != '\0' ? path : ipc::tapback_socket_path;
}

TapbackClient::TapbackClient(const std::string& socket_path) : channel_(connect_to(socket_path)) {}

std::vector<std::optional<ipc::Json>> TapbackClient::call_all(const char* request,
                                                              const std::vector<ipc::Json>& arguments,
                                                              std::chrono::milliseconds timeout) {
    std::vector<std::optional<ipc::Json>> results(arguments.size());
    std::map<std::uint64_t, std::size_t> under_way;  // the message's index, by its id
    std::size_t sent = 0;
    auto deadline = std::chrono::steady_clock::now();
    try {
        while (sent < arguments.size() || !under_way.empty()) {
            for (; sent < arguments.size() && under_way.size() < under_way_max; ++sent) {
                under_way[channel_.send_request(request, arguments[sent])] = sent;
                deadline = std::chrono::steady_clock::now() + timeout;
            }
            if (!channel_.wait_readable(deadline)) {
                under_way.clear();
                continue;
            }
            const auto message = channel_.next();
            if (!message || !message->reply) continue;
            const auto answered = under_way.find(message->reply->id);
            if (answered == under_way.end()) continue;
            if (message->reply->error_code.empty()) results[answered->second] = message->reply->result;
            under_way.erase(answered);
        }
    } catch (const std::system_error& error) {
        throw_unanswered(error, request, timeout);
    }
    return results;
}

ipc::Json TapbackClient::call(const char* request, const ipc::Json& arguments, std::chrono::milliseconds timeout,
                              const std::vector<int>& descriptors) {
    ipc::Reply reply;
    try {
        reply = channel_.call(request, arguments, descriptors, timeout);
    } catch (const std::system_error& error) {
        throw_unanswered(error, request, timeout);
    }
    ipc::throw_if_error(reply);
    return std::move(reply.result);
}

}  // namespace blktap
