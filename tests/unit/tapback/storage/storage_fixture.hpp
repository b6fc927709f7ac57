// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFiles with the real storage processes; the test plays the tapdisk.
#pragma once

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <unistd.h>

#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/storage/process_starter.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/tapback/storage/late_requests.hpp"

namespace blktap::tapback {

inline std::string word_of(pid_t pid, const std::string& field) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(field + ":\t")) return line.substr(field.size() + 2);
    return {};
}

/// The living processes that `parent` started.
inline std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        if (pid > 0 && word_of(pid, "PPid") == std::to_string(parent) && !word_of(pid, "State").starts_with('Z'))
            found.push_back(pid);
    }
    return found;
}

inline std::vector<std::string> files_of(pid_t pid) {
    std::vector<std::string> found;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone))
        found.push_back(std::filesystem::read_symlink(entry.path(), gone));
    return found;
}

inline ipc::OpenArguments raw(const std::string& path) {
    ipc::OpenArguments image;
    image.format = "raw";
    image.path = path;
    return image;
}

inline bool is_locked(const std::string& path) {
    try {
        LocalImageOpener().open(path, Access::read_write, Caching::direct);
        return false;
    } catch (const std::system_error& error) {
        return error.code() == std::errc::device_or_resource_busy;
    }
}

/// A tapdisk's end of its connection.
struct AskingTapdisk {
    AskingTapdisk() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        channel.emplace(ipc::MessageSocket{UniqueFd{ends[0]}});
        other.reset(ends[1]);
    }
    FileRequest asks_for(const std::string& path, std::uint64_t id) const {
        return {{path, false, false, {}}, as, id, UniqueFd{::fcntl(other.get(), F_DUPFD_CLOEXEC, 0)}};
    }
    ProcessId as = own_id();
    std::optional<ipc::Channel> channel{};
    UniqueFd other{};
    std::vector<ipc::Reply> replies{};
};

struct StorageFixture {
    StorageFixture() {
        clock.advance(std::chrono::hours(1));
        REQUIRE(testing::wait_until([this] { return starter_pid() > 0; }));  // it gives itself its name
    }
    ~StorageFixture() {
        for (const pid_t pid : processes())
            testing::send_signal(pid, SIGCONT);
        files.reset();
        starter.reset();
        // The next test must not take it for its own.
        testing::wait_until([this] { return starter_pid() < 0; });
    }

    template <class Condition>
    bool run_until(Condition condition) {
        for (int i = 0; i < 1000; ++i) {
            if (condition()) return true;
            loop.run_once(std::chrono::milliseconds(10));
        }
        return false;
    }
    /// The program that makes the others, by its name.
    pid_t starter_pid() const {
        for (const pid_t pid : children_of(::getpid()))
            if (word_of(pid, "Name") == "tapback-storage") return pid;
        return -1;
    }
    std::vector<pid_t> processes() const { return children_of(starter_pid()); }
    /// The process that has this file open; -1: none.
    pid_t holder_of(const std::string& path) const {
        for (const pid_t pid : processes())
            if (std::ranges::count(files_of(pid), path) != 0) return pid;
        return -1;
    }
    std::string make(const std::string& name) { return directory.make_file(name, 4096); }

    void open(const std::string& owner, const std::string& path) {
        files->open(owner, raw(path), tapdisk.asks_for(path, ++asked));
    }
    /// The tapdisk's next answer; after a while without any: an error that says so.
    ipc::Reply answer() {
        std::optional<ipc::Parsed> message;
        run_until([&] {
            message = tapdisk.channel->next();
            return message.has_value();
        });
        if (message && message->reply) return std::move(*message->reply);
        ipc::Reply none;
        none.error_code = none.error_message = "no answer";
        return none;
    }
    /// Opens it for a tapdisk that is dead when it has the file. `request` is what the kernel still does for that one.
    void open_and_die(const std::string& owner, const std::string& path, std::optional<LateRequest>& request) {
        const ProcessId living = std::exchange(tapdisk.as, dead_process());
        open(owner, path);
        ipc::Reply reply = answer();
        REQUIRE(reply.descriptors.size() == 1);
        request.emplace(std::move(reply.descriptors.front()));
        tapdisk.as = living;
    }
    /// Opens it, and stops the process that has it.
    pid_t open_and_stop(const std::string& owner, const std::string& path) {
        open(owner, path);
        REQUIRE(answer().error_message == "");
        const pid_t pid = holder_of(path);
        REQUIRE(pid > 0);
        testing::send_signal(pid, SIGSTOP);
        REQUIRE(testing::wait_until([&] { return word_of(pid, "State").starts_with('T'); }));
        return pid;
    }

    testing::TemporaryDirectory directory{BLKTAP_BIN_DIR};
    ManualClock clock{};
    EventLoop loop{clock};
    std::optional<storage::ProcessStarter> starter{
        std::in_place, loop,
        storage::ProcessStarter::Settings{.directories = {{directory.path("")}, {}},
                                          .program = BLKTAP_BIN_DIR "/tapback"}};
    std::optional<ImageFiles> files{std::in_place, loop, ImageDirectories{{directory.path("")}, {}},
                                    [this] { return starter->start(); }};
    AskingTapdisk tapdisk{};
    std::uint64_t asked = 0;
};

}  // namespace blktap::tapback
