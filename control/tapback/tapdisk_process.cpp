// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/tapdisk_process.hpp"

#include <csignal>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "libblktap/base/log.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say so itself
}

extern char** environ;

namespace blktap::tapback {
namespace {

UniqueFd open_pidfd(pid_t pid) {
    UniqueFd fd(::pidfd_open(pid, 0));
    if (!fd) throw_system_error("pidfd of " + std::to_string(pid));
    return fd;
}

void require(int error, const char* what) {
    if (error != 0) throw_error({error, std::system_category()}, what);
}

/// posix_spawn's two objects, with their ends.
class SpawnSettings {
  public:
    SpawnSettings() {
        require(::posix_spawn_file_actions_init(&actions_), "posix_spawn");
        require(::posix_spawnattr_init(&attributes_), "posix_spawn");
        sigset_t none;
        ::sigemptyset(&none);
        sigset_t all;
        ::sigfillset(&all);
        // A session of its own: a signal to ours, from a terminal say, must not end guests' disks.
        require(::posix_spawnattr_setflags(&attributes_,
                                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
                "posix_spawn");
        require(::posix_spawnattr_setsigmask(&attributes_, &none), "posix_spawn");
        require(::posix_spawnattr_setsigdefault(&attributes_, &all), "posix_spawn");
    }
    SpawnSettings(const SpawnSettings&) = delete;
    SpawnSettings& operator=(const SpawnSettings&) = delete;
    ~SpawnSettings() {
        ::posix_spawnattr_destroy(&attributes_);
        ::posix_spawn_file_actions_destroy(&actions_);
    }
    /// All others of our descriptors close on exec.
    void keep(int fd) { require(::posix_spawn_file_actions_adddup2(&actions_, fd, fd), "posix_spawn"); }

    pid_t spawn(const std::vector<std::string>& command) const {
        std::vector<char*> arguments;
        for (const std::string& argument : command)
            arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        pid_t pid = -1;
        const int error =
            ::posix_spawn(&pid, command.front().c_str(), &actions_, &attributes_, arguments.data(), environ);
        if (error != 0) throw_error({error, std::system_category()}, command.front());
        return pid;
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

std::string describe_end(const siginfo_t& end) {
    if (end.si_code == CLD_EXITED) return "exited with status " + std::to_string(end.si_status);
    return "killed by signal " + std::to_string(end.si_status);
}

}  // namespace

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
    SpawnSettings settings;
    settings.keep(theirs.get());
    const pid_t pid = settings.spawn(command);
    try {
        return std::unique_ptr<TapdiskProcess>(
            new TapdiskProcess(loop, ipc::MessageSocket(std::move(ours)), pid, open_pidfd(pid), std::move(hooks)));
    } catch (const std::exception&) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        throw;
    }
}

std::unique_ptr<TapdiskProcess> TapdiskProcess::adopt(EventLoop& loop, const std::string& socket_path, Hooks hooks) {
    ipc::MessageSocket socket = ipc::MessageSocket::connect_to(socket_path);
    // The number may be another process's by now; a connection that then still answers is of this one.
    const pid_t pid = socket.peer_pid();
    UniqueFd pidfd = open_pidfd(pid);
    return std::unique_ptr<TapdiskProcess>(
        new TapdiskProcess(loop, std::move(socket), pid, std::move(pidfd), std::move(hooks)));
}

TapdiskProcess::TapdiskProcess(EventLoop& loop, ipc::MessageSocket socket, pid_t pid, UniqueFd pidfd, Hooks hooks)
    : channel_(std::move(socket)), pid_(pid), pidfd_(std::move(pidfd)), hooks_(std::move(hooks)) {
    channel_watch_.emplace(loop, channel_.fd(), EPOLLIN, [this](std::uint32_t) { receive(); });
    end_watch_.emplace(loop, pidfd_.get(), EPOLLIN, [this](std::uint32_t) { ended(); });
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
    ::pidfd_send_signal(pidfd_.get(), SIGTERM, nullptr, 0);
}

void TapdiskProcess::receive() {
    try {
        while (channel_watch_) {
            auto message = channel_.next();
            if (!message) return;
            handle(std::move(*message));
        }
    } catch (const std::system_error& error) {
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
    siginfo_t end{};
    // Not a child of ours when it was adopted.
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &end, WEXITED | WNOHANG) == 0 && end.si_pid != 0)
        end_reason_ = describe_end(end);
    // What it said last may still wait to be read.
    if (channel_watch_) receive();
    if (channel_watch_) hang_up(end_reason_);
    hooks_.ended();
}

}  // namespace blktap::tapback
