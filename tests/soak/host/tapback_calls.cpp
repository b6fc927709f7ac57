// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/host/tapback_calls.hpp"

#include "libblktap/ipc/channel.hpp"

namespace blktap::soak {
namespace {

bool means_no_tapback(const std::error_code& code) {
    return code == Errc::peer_closed || code == std::errc::broken_pipe || code == std::errc::connection_reset ||
           code == std::errc::connection_refused || code == std::errc::no_such_file_or_directory;
}

}  // namespace

Answer TapbackCalls::ask(const std::string& request, const ipc::Json& arguments) const {
    try {
        ipc::Channel channel(ipc::MessageSocket::connect_to(socket_));
        ipc::Reply reply = channel.call(request, arguments, {}, patience);
        if (reply.error_code.empty()) return {Answer::Kind::done, {}, {}, std::move(reply.result)};
        const std::error_code code = ipc::error_code_named(reply.error_code);
        if (code == Errc::peer_closed) return {};  // the tapdisk died before it could answer
        return {Answer::Kind::refused, code, reply.error_message + " (" + reply.error_code + ")", {}};
    } catch (const std::system_error& error) {
        if (means_no_tapback(error.code())) return {};
        throw Wrong("tapback and the request '" + request + "': " + error.what());
    }
}

Answer TapbackCalls::insist(const std::string& request, const ipc::Json& arguments) const {
    Answer answer;
    wait_for("get an answer to '" + request + "'", [&] {
        answer = ask(request, arguments);
        return answer.kind != Answer::Kind::lost;
    });
    return answer;
}

std::optional<ipc::VbdEntry> TapbackCalls::entry(const ipc::VbdArguments& disk) const {
    const Answer answer = insist(ipc::Info::name, disk);
    if (answer.is_refused(std::errc::no_such_file_or_directory)) return std::nullopt;
    if (!answer.is_done()) throw Wrong("tapback does not describe the disk: " + answer.message);
    return answer.result.get<ipc::VbdEntry>();
}

}  // namespace blktap::soak
