// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/message_socket.hpp"

#include <fstream>
#include <latch>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>

#include "libblktap/base/error.hpp"
#include "tests/unit/ipc/socket_fixture.hpp"

namespace blktap::ipc {
namespace {

struct Pair {
    explicit Pair(std::pair<UniqueFd, UniqueFd> ends = connected_pair())
        : here(std::move(ends.first)), there(std::move(ends.second)) {}
    MessageSocket here;
    MessageSocket there;
};

/// Sends messages that MessageSocket::send() would refuse.
bool send_raw(int fd, const std::string& text, const std::vector<int>& descriptors) {
    iovec data{const_cast<char*>(text.data()), text.size()};
    std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::copy(descriptors.begin(), descriptors.end(), reinterpret_cast<int*>(CMSG_DATA(part)));
    return ::sendmsg(fd, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// Leaves a stale socket, like a killed process: the listener does not find its socket at its path.
void leave_stale_socket(const std::string& path) {
    const MessageListener listener(path + ".dying");
    std::filesystem::rename(path + ".dying", path);
}

int descriptor_flags(int fd) {
    return ::fcntl(fd, F_GETFD);
}

}  // namespace

TEST_CASE("message socket: delivers whole messages in order", "[unit][ipc]") {
    Pair pair;
    pair.here.send("first");
    pair.here.send(std::string(message_size_max_bytes, 'x'));
    CHECK(pair.there.receive()->text == "first");
    CHECK(pair.there.receive()->text == std::string(message_size_max_bytes, 'x'));
    CHECK_FALSE(pair.there.receive().has_value());
}

TEST_CASE("message socket: receive does not wait, even on a socket that is made to block", "[unit][ipc]") {
    Pair pair;
    CHECK_FALSE(pair.here.receive().has_value());
}

TEST_CASE("message socket: a message carries descriptors, which stay the sender's too", "[unit][ipc]") {
    Pair pair;
    Pipe pipe;
    pair.here.send("with a pipe", {pipe.writer.get(), pipe.reader.get()});
    auto message = pair.there.receive();
    REQUIRE(message->descriptors.size() == 2);
    CHECK((descriptor_flags(message->descriptors[0].get()) & FD_CLOEXEC) != 0);

    REQUIRE(::write(message->descriptors[0].get(), "a", 1) == 1);
    char byte = 0;
    REQUIRE(::read(pipe.reader.get(), &byte, 1) == 1);
    CHECK(byte == 'a');
    CHECK(descriptor_flags(pipe.writer.get()) >= 0);

    pipe.writer.reset();
    CHECK_FALSE(pipe.writers_closed());
    message.reset();
    CHECK(pipe.writers_closed());
}

TEST_CASE("message socket: as many descriptors as a message may have arrive", "[unit][ipc]") {
    Pair pair;
    Pipe pipe;
    pair.here.send("many", std::vector<int>(message_descriptors_max, pipe.writer.get()));
    CHECK(pair.there.receive()->descriptors.size() == message_descriptors_max);
}

TEST_CASE("message socket: refuses a message with too many descriptors and closes them", "[unit][ipc]") {
    auto [here, there] = connected_pair();
    MessageSocket socket(std::move(there));
    Pipe pipe;
    const std::size_t before = open_descriptors();
    REQUIRE(send_raw(here.get(), "greedy", std::vector<int>(message_descriptors_max + 1, pipe.writer.get())));
    CHECK(error_of([&] { socket.receive(); }).code() == Errc::bad_message);
    CHECK(open_descriptors() == before);

    REQUIRE(send_raw(here.get(), "modest", {pipe.writer.get()}));
    CHECK(socket.receive()->text == "modest");
}

TEST_CASE("message socket: refuses a message that is too long and closes its descriptors", "[unit][ipc]") {
    auto [here, there] = connected_pair();
    MessageSocket socket(std::move(there));
    Pipe pipe;
    const std::size_t before = open_descriptors();
    REQUIRE(send_raw(here.get(), std::string(message_size_max_bytes + 1, 'x'), {pipe.writer.get()}));
    CHECK(error_of([&] { socket.receive(); }).code() == Errc::bad_message);
    CHECK(open_descriptors() == before);
}

TEST_CASE("message socket: descriptors without text are closed, and are a hang-up", "[unit][ipc]") {
    auto [here, there] = connected_pair();
    MessageSocket socket(std::move(there));
    Pipe pipe;
    const std::size_t before = open_descriptors();
    REQUIRE(send_raw(here.get(), "", {pipe.writer.get()}));
    CHECK(error_of([&] { socket.receive(); }).code() == Errc::peer_closed);
    CHECK(open_descriptors() == before);
}

TEST_CASE("message socket: one that wants no descriptors never has one, and refuses the message", "[unit][ipc]") {
    auto [here, there] = connected_pair();
    MessageSocket socket(std::move(there));
    socket.refuse_descriptors();
    Pipe pipe;
    const std::size_t before = open_descriptors();
    REQUIRE(send_raw(here.get(), "a gift", {pipe.writer.get()}));
    CHECK_THAT(error_of([&] { socket.receive(); }).what(), Catch::Contains("with a descriptor"));
    CHECK(open_descriptors() == before);
    REQUIRE(::send(here.get(), "plain", 5, 0) == 5);
    CHECK(socket.receive()->text == "plain");
}

TEST_CASE("message socket: a process out of descriptors refuses the message, not the connection", "[unit][ipc]") {
    auto [here, there] = connected_pair();
    MessageSocket socket(std::move(there));
    Pipe pipe;
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    REQUIRE(send_raw(here.get(), "one", {pipe.writer.get()}));
    const rlimit none{0, old.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto error = error_of([&] { socket.receive(); });
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK(error.code() == Errc::bad_message);
    CHECK_FALSE(socket.receive().has_value());
}

TEST_CASE("message socket: does not send what the other side would refuse", "[unit][ipc]") {
    Pair pair;
    Pipe pipe;
    CHECK(error_of([&] { pair.here.send(""); }).code() == std::errc::message_size);
    CHECK(error_of([&] { pair.here.send(std::string(message_size_max_bytes + 1, 'x')); }).code() ==
          std::errc::message_size);
    const std::vector<int> many(message_descriptors_max + 1, pipe.writer.get());
    CHECK(error_of([&] { pair.here.send("x", many); }).code() == std::errc::message_size);
    CHECK(error_of([&] { pair.here.send("x", {-1}); }).code() == std::errc::bad_file_descriptor);
    CHECK_FALSE(pair.there.receive().has_value());
}

TEST_CASE("message socket: a peer that went away is EPIPE to the sender and peer-closed to the receiver",
          "[unit][ipc]") {
    Pair pair;
    pair.there = MessageSocket();
    CHECK(error_of([&] { pair.here.send("anyone?"); }).code() == std::errc::broken_pipe);
    CHECK(error_of([&] { pair.here.receive(); }).code() == Errc::peer_closed);
}

TEST_CASE("message socket: what a peer said before it reset the connection is still heard", "[unit][ipc]") {
    Pair pair;
    pair.here.send("never read");
    pair.there.send("last words");
    pair.there = MessageSocket();
    CHECK(pair.here.receive()->text == "last words");
    CHECK(error_of([&] { pair.here.receive(); }).code() == Errc::peer_closed);
}

TEST_CASE("message socket: a peer that resets the connection is EPIPE to the sender", "[unit][ipc]") {
    Pair pair;
    pair.here.send("never read");
    pair.there = MessageSocket();
    CHECK(error_of([&] { pair.here.send("anyone?"); }).code() == std::errc::broken_pipe);
}

TEST_CASE("message socket: a peer that does not read cannot hold the sender", "[unit][ipc]") {
    Pair pair;
    const std::string text(message_size_max_bytes, 'x');
    const auto error = error_of([&] {
        for (;;)
            pair.here.send(text);
    });
    CHECK(error.code() == std::errc::timed_out);
}

TEST_CASE("message socket: a sender waits for a peer that reads late", "[unit][ipc]") {
    Pair pair;
    constexpr int count = 64;  // several times what a socket holds
    std::thread reader([&] {
        for (int received = 0; received < count;) {
            if (!pair.there.wait_readable(std::chrono::steady_clock::now() + std::chrono::seconds(10))) return;
            if (pair.there.receive()) ++received;
        }
    });
    const std::string text(message_size_max_bytes, 'x');
    for (int sent = 0; sent < count; ++sent)
        CHECK_NOTHROW(pair.here.send(text));
    reader.join();
    CHECK_FALSE(pair.there.receive().has_value());
}

TEST_CASE("message socket: wait_readable tells a message from the end of the time", "[unit][ipc]") {
    Pair pair;
    CHECK_FALSE(pair.there.wait_readable(std::chrono::steady_clock::now()));
    pair.here.send("hello");
    CHECK(pair.there.wait_readable(std::chrono::steady_clock::now()));
}

TEST_CASE("message socket: errors of a descriptor that is no socket are told", "[unit][ipc]") {
    Pipe pipe;
    MessageSocket socket(std::move(pipe.reader));
    CHECK(error_of([&] { socket.send("x"); }).code() == std::errc::not_a_socket);
    CHECK(error_of([&] { socket.receive(); }).code() == std::errc::not_a_socket);
    CHECK(error_of([&] { socket.peer_pid(); }).code() == std::errc::not_a_socket);
}

TEST_CASE("message listener: accepts connections to its path and knows who they are", "[unit][ipc]") {
    TemporaryFolder folder;
    MessageListener listener(folder / "socket");
    CHECK_FALSE(listener.accept().has_value());

    MessageSocket client = MessageSocket::connect_to(folder / "socket");
    auto server = listener.accept();
    REQUIRE(server.has_value());
    CHECK(server->peer_pid() == ::getpid());
    CHECK(client.peer_pid() == ::getpid());
    CHECK((descriptor_flags(server->fd()) & FD_CLOEXEC) != 0);
    CHECK((descriptor_flags(client.fd()) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(server->fd(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(client.fd(), F_GETFL) & O_NONBLOCK) != 0);

    client.send("hello");
    CHECK(server->receive()->text == "hello");
}

TEST_CASE("message listener: the socket is its owner's only, whatever the umask, which stays", "[unit][ipc]") {
    TemporaryFolder folder;
    const mode_t old = ::umask(0);
    {
        const MessageListener listener(folder / "socket");
        struct stat status {};
        REQUIRE(::stat((folder / "socket").c_str(), &status) == 0);
        CHECK((status.st_mode & 07777) == 0600);
    }
    CHECK(::umask(old) == 0);
}

TEST_CASE("message listener: removes its path when it goes", "[unit][ipc]") {
    TemporaryFolder folder;
    { const MessageListener listener(folder / "socket"); }
    CHECK_FALSE(std::filesystem::exists(folder / "socket"));
}

TEST_CASE("message listener: leaves the path alone when another socket is there by now", "[unit][ipc]") {
    TemporaryFolder folder;
    std::optional<MessageListener> first(std::in_place, folder / "socket");
    std::filesystem::remove(folder / "socket");
    const MessageListener second(folder / "socket");
    first.reset();
    CHECK_NOTHROW(MessageSocket::connect_to(folder / "socket"));
}

TEST_CASE("message listener: replaces the socket that a killed process left", "[unit][ipc]") {
    TemporaryFolder folder;
    leave_stale_socket(folder / "socket");
    CHECK(error_of([&] { MessageSocket::connect_to(folder / "socket"); }).code() == std::errc::connection_refused);
    MessageListener listener(folder / "socket");
    const MessageSocket client = MessageSocket::connect_to(folder / "socket");
    CHECK(listener.accept().has_value());
}

TEST_CASE("message listener: a path with a live listener is in use", "[unit][ipc]") {
    TemporaryFolder folder;
    const MessageListener first(folder / "socket");
    const auto error = error_of([&] { MessageListener second(folder / "socket"); });
    CHECK(error.code() == std::errc::address_in_use);
    CHECK(std::string(error.what()).find(folder / "socket") != std::string::npos);
    CHECK_NOTHROW(MessageSocket::connect_to(folder / "socket"));
}

TEST_CASE("message listener: never replaces a file that is no socket", "[unit][ipc]") {
    TemporaryFolder folder;
    std::ofstream(folder / "socket") << "precious";
    CHECK(error_of([&] { MessageListener listener(folder / "socket"); }).code() == std::errc::address_in_use);
    CHECK(std::filesystem::file_size(folder / "socket") == 8);
}

TEST_CASE("message listener: of several that start on one stale path, exactly one wins", "[unit][ipc]") {
    TemporaryFolder folder;
    for (int round = 0; round < 50; ++round) {
        leave_stale_socket(folder / "socket");
        constexpr int count = 4;
        std::optional<MessageListener> listeners[count];
        std::vector<std::thread> starters;
        std::latch start(count);
        for (auto& listener : listeners) {
            starters.emplace_back([&] {
                start.arrive_and_wait();
                try {
                    listener.emplace(folder / "socket");
                } catch (const std::system_error&) {
                }
            });
        }
        for (auto& starter : starters)
            starter.join();
        CHECK(std::count_if(std::begin(listeners), std::end(listeners), [](auto& one) { return one.has_value(); }) ==
              1);
        CHECK_NOTHROW(MessageSocket::connect_to(folder / "socket"));
    }
}

TEST_CASE("message listener: out of descriptors, it refuses the connection instead of leaving it", "[unit][ipc]") {
    TemporaryFolder folder;
    MessageListener listener(folder / "socket");
    MessageSocket client = MessageSocket::connect_to(folder / "socket");
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    std::vector<UniqueFd> filler;
    const rlimit tight{64, old.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
    for (int fd = 0; (fd = ::dup(0)) >= 0;)
        filler.emplace_back(fd);
    const bool accepted = listener.accept().has_value();
    filler.clear();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK_FALSE(accepted);
    CHECK(error_of([&] { client.receive(); }).code() == Errc::peer_closed);

    const MessageSocket next = MessageSocket::connect_to(folder / "socket");
    CHECK(listener.accept().has_value());
}

TEST_CASE("message socket: connecting says which path and why not", "[unit][ipc]") {
    TemporaryFolder folder;
    const auto error = error_of([&] { MessageSocket::connect_to(folder / "nobody"); });
    CHECK(error.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(error.what()).find(folder / "nobody") != std::string::npos);

    std::ofstream(folder / "file") << "x";
    CHECK(error_of([&] { MessageSocket::connect_to(folder / "file"); }).code() == std::errc::connection_refused);
}

TEST_CASE("message socket: gives up on a listener that does not accept", "[unit][ipc]") {
    TemporaryFolder folder;
    const MessageListener listener(folder / "socket");
    std::vector<MessageSocket> waiting;
    const auto error = error_of([&] {
        for (;;)
            waiting.push_back(MessageSocket::connect_to(folder / "socket"));
    });
    CHECK(error.code() == std::errc::timed_out);
}

TEST_CASE("message socket: a path that cannot name a socket is refused", "[unit][ipc]") {
    using namespace std::string_literals;
    const std::string too_long(sizeof(sockaddr_un::sun_path), 'x');
    CHECK(error_of([] { MessageSocket::connect_to(""); }).code() == std::errc::invalid_argument);
    CHECK(error_of([] { MessageSocket::connect_to("\0abstract"s); }).code() == std::errc::invalid_argument);
    CHECK(error_of([&] { MessageSocket::connect_to(too_long); }).code() == std::errc::filename_too_long);
    CHECK(error_of([] { MessageListener listener(""); }).code() == std::errc::invalid_argument);
    CHECK(error_of([] { MessageListener listener("\0abstract"s); }).code() == std::errc::invalid_argument);
    CHECK(error_of([&] { MessageListener listener(too_long); }).code() == std::errc::filename_too_long);
    CHECK(error_of([] { MessageListener listener("/nonexistent/socket"); }).code() ==
          std::errc::no_such_file_or_directory);
}

}  // namespace blktap::ipc
