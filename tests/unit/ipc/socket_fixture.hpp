// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Shared by the tests of sockets: connected pairs, a folder for paths, pipes to send, and a check for errors.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "libblktap/base/unique_fd.hpp"
#include "tests/support/catch.hpp"

namespace blktap::ipc {

/// Two ends of one SOCK_SEQPACKET connection.
inline std::pair<UniqueFd, UniqueFd> connected_pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// A descriptor to send, and the way to see that every copy of it is closed: the other end reads end of file.
struct Pipe {
    Pipe() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        reader.reset(ends[0]);
        writer.reset(ends[1]);
    }
    bool writers_closed() const {
        char byte = 0;
        return ::read(reader.get(), &byte, 1) == 0;
    }
    UniqueFd reader;
    UniqueFd writer;
};

class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "blktap-ipc-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
};

inline std::size_t open_descriptors() {
    const auto folder = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(folder), end(folder)));
}

/// Runs `action`, which must throw std::system_error; what() is checked where it matters.
inline std::system_error error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const std::system_error& error) {
        return error;
    }
    FAIL("no error was thrown");
    return std::system_error(std::error_code{});
}

}  // namespace blktap::ipc
