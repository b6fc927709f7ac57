// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/tapdisk_process.hpp"

#include <csignal>
#include <exception>
#include <sys/socket.h>

#include "libblktap/base/log.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say so itself
}

namespace blktap::tapback {

ipc::Reply error_reply(std::error_code code, const std::string& message) {
    ipc::Reply reply;
    reply.error_code = ipc::error_code_name(code);
    reply.error_message = message;
    return reply;
}

std::unique_ptr<TapdiskProcess> TapdiskProcess::spawn(EventLoop& loop, std::vector<std::string> command,
                                                      const std::string& socket_path, Hooks hooks) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        throw_system_error("a socket for tapdisk");
    UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    command.insert(command.end(), {"--control", socket_path, "--client-fd", std::to_string(theirs.get())});
    return std::unique_ptr<TapdiskProcess>(new TapdiskProcess(loop, ipc::MessageSocket(std::move(ours)),
                                                              spawn_child(command, theirs.get()), std::move(hooks)));
}

std::unique_ptr<TapdiskProcess> TapdiskProcess::adopt(EventLoop& loop, const std::string& socket_path, Hooks hooks) {
    ipc::MessageSocket socket = ipc::MessageSocket::connect_to(socket_path);
    // The number may be another process's by now; a connection that then still answers is of this one.
    const pid_t pid = socket.peer_pid();
    UniqueFd pidfd = open_pidfd(pid);
    return std::unique_ptr<TapdiskProcess>(
        new TapdiskProcess(loop, std::move(socket), {pid, std::move(pidfd)}, std::move(hooks)));
}

TapdiskProcess::TapdiskProcess(EventLoop& loop, ipc::MessageSocket socket, ChildProcess process, Hooks hooks)
    : channel_(std::move(socket)), process_(std::move(process)), hooks_(std::move(hooks)) {
    channel_watch_.emplace(loop, channel_.fd(), EPOLLIN, [this](std::uint32_t) { receive(); });
    end_watch_.emplace(loop, process_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { ended(); });
}

TapdiskProcess::~TapdiskProcess() = default;

void TapdiskProcess::call(const std::string& name, const ipc::Json& arguments, const std::vector<int>& descriptors,
                          Done done) {
    if (!channel_watch_) return done(error_reply(make_error_code(Errc::peer_closed), "its tapdisk has ended"));
    try {
        calls_.emplace(channel_.send_request(name, arguments, descriptors), std::move(done));
    } catch (const std::system_error& error) {
        done(error_reply(error.code(), name + ": " + error.what()));
    }
}

void TapdiskProcess::terminate() const noexcept {
    ::pidfd_send_signal(process_.pidfd.get(), SIGTERM, nullptr, 0);
}

void TapdiskProcess::receive() {
    try {
        while (channel_watch_) {
            auto message = channel_.next();
            if (!message) return;
            handle(std::move(*message));
        }
    } catch (const std::exception& error) {
        // Of whatever kind: what one tapdisk says must not end the daemon of all.
        hang_up(error.what());
    }
}

void TapdiskProcess::handle(ipc::Parsed message) {
    if (message.request) return serve(*message.request);
    auto call = calls_.extract(message.reply->id);
    if (!call.empty()) call.mapped()(std::move(*message.reply));
}

void TapdiskProcess::serve(const ipc::Request& request) {
    try {
        if (request.name == "problems") {
            hooks_.problems(request.arguments.get<ipc::Problems>());
            return channel_.reply(request.id, ipc::Json::object());
        }
        if (request.name != "open-file") throw_error(Errc::unknown_request, '"' + request.name + '"');
        const int fd = hooks_.open_file(request.arguments.get<ipc::OpenFileArguments>());
        channel_.reply(request.id, ipc::Json::object(), {fd});
    } catch (const std::system_error& error) {
        channel_.reply_error(request.id, error.code(), error.what());
    }
}

void TapdiskProcess::hang_up(const std::string& reason) {
    channel_watch_.reset();
    for (auto& [id, done] : std::exchange(calls_, {}))
        done(error_reply(make_error_code(Errc::peer_closed), "its tapdisk has ended (" + reason + ")"));
}

void TapdiskProcess::ended() {
    end_watch_.reset();
    end_reason_ = process_.reap();  // not a child of ours when it was adopted
    // What it said last may still wait to be read.
    if (channel_watch_) receive();
    if (channel_watch_) hang_up(end_reason_);
    hooks_.ended();
}

}  // namespace blktap::tapback
