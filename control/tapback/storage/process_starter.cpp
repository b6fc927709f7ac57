// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Both ends: tapback's, which runs the program, and the program itself.
#include "control/tapback/storage/process_starter.hpp"

#include <charconv>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/tapback/storage/storage_process.hpp"

namespace blktap::tapback::storage {
namespace {

constexpr const char* process_name = "tapback-storage";  // the longest name that /proc can show
constexpr const char* own_option = "--storage-processes";
constexpr const char* backing_option = "--backing";

struct Ends {
    UniqueFd ours, theirs;
};

Ends make_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        throw_system_error("a socket for a storage process");
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

int to_number(const char* text) {
    int number = -1;
    std::from_chars(text, text + std::strlen(text), number);
    return number;
}

}  // namespace

// In tapback.

ProcessStarter::ProcessStarter(EventLoop& loop, Settings settings) : loop_(loop), settings_(std::move(settings)) {
    run_program();
}

ProcessStarter::~ProcessStarter() = default;

void ProcessStarter::run_program() {
    Ends ends = make_pair();
    std::vector<std::string> command{process_name, own_option, std::to_string(ends.theirs.get()),
                                     std::to_string(static_cast<int>(settings_.level)),
                                     std::to_string(static_cast<int>(settings_.sink))};
    const ImageDirectories& directories = settings_.directories;
    command.insert(command.end(), directories.images.begin(), directories.images.end());
    command.emplace_back(backing_option);
    command.insert(command.end(), directories.backing.begin(), directories.backing.end());
    child_ = spawn_child(command, {ends.theirs.get()}, settings_.program);
    socket_ = ipc::MessageSocket(std::move(ends.ours));
    watch_.emplace(loop_, child_->pidfd.get(), EPOLLIN, [this](std::uint32_t) { ended(); });
}

/// The program has ended. Its storage processes go on; the next start() runs the program again.
void ProcessStarter::ended() {
    watch_.reset();
    log::warning("storage", {{"reason", std::string(process_name) + ' ' + child_->reap()}});
    child_.reset();
    socket_ = {};
}

ipc::MessageSocket ProcessStarter::start() {
    Ends ends = make_pair();
    if (!child_) run_program();
    socket_.send("start", {ends.theirs.get()});
    return ipc::MessageSocket(std::move(ends.ours));
}

ProcessStarter::Settings settings_of(const Options& options) {
    return {.directories = {options.image_directories, options.backing_directories},
            .level = options.level,
            .sink = options.sink};
}

// In the program.

namespace {

/// The rest of a copy's life.
[[noreturn]] void be_storage_process(ipc::MessageSocket tapback, const ImageDirectories& directories) noexcept {
    serve_disk(std::move(tapback), directories);
    ::_exit(0);
}

void start_copy(ipc::MessageSocket& starter, UniqueFd tapback, const ImageDirectories& directories) {
    const pid_t pid = ::fork();
    if (pid < 0) return log::error("storage", {{"reason", "fork: " + last_system_error().message()}});
    if (pid != 0) return;
    starter = {};
    be_storage_process(ipc::MessageSocket(std::move(tapback)), directories);
}

[[noreturn]] void serve_tapback(ipc::MessageSocket starter, const ImageDirectories& directories) {
    for (;;) {
        auto message = starter.receive();
        if (!message) {
            pollfd entry{.fd = starter.fd(), .events = POLLIN, .revents = 0};
            ::poll(&entry, 1, -1);
        } else if (message->descriptors.size() == 1) {
            start_copy(starter, std::move(message->descriptors.front()), directories);
        }
    }
}

}  // namespace

bool is_starter(int argument_count, char** arguments) noexcept {
    return argument_count > 1 && std::strcmp(arguments[1], own_option) == 0;
}

int run_starter(int argument_count, char** arguments) noexcept {
    constexpr int fixed_arguments = 5;
    if (argument_count < fixed_arguments) return 2;
    try {
        ::prctl(PR_SET_NAME, process_name);
        ::signal(SIGCHLD, SIG_IGN);  // copies are not waited for
        ::signal(SIGPIPE, SIG_IGN);
        log::configure(process_name, static_cast<log::Level>(to_number(arguments[3])),
                       static_cast<log::Sink>(to_number(arguments[4])));
        ImageDirectories directories;
        std::vector<std::string>* list = &directories.images;
        for (int i = fixed_arguments; i < argument_count; ++i) {
            if (std::strcmp(arguments[i], backing_option) == 0) {
                list = &directories.backing;
            } else {
                list->emplace_back(arguments[i]);
            }
        }
        serve_tapback(ipc::MessageSocket(UniqueFd(to_number(arguments[2]))), directories);
    } catch (const std::system_error& error) {
        if (error.code() == Errc::peer_closed) return 0;
        log::error("storage", {{"reason", error.what()}});
    } catch (const std::exception& error) {
        log::error("storage", {{"reason", error.what()}});
    }
    return 1;
}

}  // namespace blktap::tapback::storage
