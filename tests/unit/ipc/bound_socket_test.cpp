// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A control socket that one process makes and another listens on.
#include <filesystem>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#include "libblktap/ipc/message_socket.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::ipc;

TEST_CASE("message listener: on another process's socket it is known as its own process, and leaves the path there",
          "[unit][ipc]") {
    const testing::TemporaryDirectory folder;
    UniqueFd bound = bind_message_socket(folder.path("socket"));
    CHECK(testing::thrown([&] { MessageSocket::connect_to(folder.path("socket")); }).code() ==
          std::errc::connection_refused);
    const pid_t pid = ::fork();
    if (pid == 0) {
        MessageListener listener(std::move(bound));
        std::optional<MessageSocket> client;
        while (!(client = listener.accept()))
            ::usleep(1000);
        while (!client->receive())
            ::usleep(1000);
        listener.~MessageListener();
        ::_exit(0);
    }
    bound.reset();
    std::optional<MessageSocket> client;
    while (!client) {
        try {
            client = MessageSocket::connect_to(folder.path("socket"));
        } catch (const std::system_error&) {
            ::usleep(1000);  // it does not listen yet
        }
    }
    CHECK(client->peer_pid() == pid);
    client->send("end");
    ::waitpid(pid, nullptr, 0);
    CHECK(std::filesystem::exists(folder.path("socket")));
}

TEST_CASE("message listener: told to, it leaves its path, and the next one replaces it", "[unit][ipc]") {
    const testing::TemporaryDirectory folder;
    {
        MessageListener first(folder.path("socket"));
        first.leave_path();
    }
    CHECK(std::filesystem::exists(folder.path("socket")));
    const MessageListener second(folder.path("socket"));
    CHECK_NOTHROW(MessageSocket::connect_to(folder.path("socket")));
}
