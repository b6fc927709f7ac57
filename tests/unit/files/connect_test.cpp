// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Connections for drivers.
#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// Whether bytes of the client arrive at the connection that `listener` accepts.
bool reaches(const UniqueFd& client, const UniqueFd& listener) {
    const UniqueFd server{::accept(listener.get(), nullptr, nullptr)};
    char byte = 0;
    return ::write(client.get(), "x", 1) == 1 && ::read(server.get(), &byte, 1) == 1 && byte == 'x';
}

UniqueFd listen_at_path(const std::string& path) {
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 1) == 0);
    return fd;
}

/// On a port that the kernel chooses, of this host alone.
std::pair<UniqueFd, std::string> listen_at_port() {
    UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(fd.get(), 1) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    return {std::move(fd), std::to_string(ntohs(address.sin_port))};
}

/// An opener that opens only files.
class FilesOnly final : public ImageOpener {
  public:
    UniqueFd open(const std::string&, Access, Caching) override { return {}; }
};

}  // namespace

TEST_CASE("connect: reaches a server by its socket's path", "[unit][files]") {
    const TemporaryDirectory directory;
    const UniqueFd listener = listen_at_path(directory.path("server"));
    LocalImageOpener files;
    CHECK(reaches(files.connect("unix:" + directory.path("server")), listener));
}

TEST_CASE("connect: reaches a server by host and port", "[unit][files]") {
    const auto [listener, port] = listen_at_port();
    LocalImageOpener files;
    CHECK(reaches(files.connect("127.0.0.1:" + port), listener));
}

TEST_CASE("connect: an error names the address, and says what is wrong", "[unit][files]") {
    const TemporaryDirectory directory;
    LocalImageOpener files;
    const auto refused = [&files](const std::string& address) {
        INFO(address);
        const std::system_error error = thrown([&] { files.connect(address); });
        CHECK_THAT(error.what(), Catch::StartsWith(address));
        return error.code();
    };
    CHECK(refused("unix:" + directory.path("absent")) == std::errc::no_such_file_or_directory);
    CHECK(refused("unix:") == std::errc::invalid_argument);
    CHECK(refused("unix:/" + std::string(200, 'x')) == std::errc::invalid_argument);
    CHECK(refused("storage") == std::errc::invalid_argument);
    CHECK(refused(":10809") == std::errc::invalid_argument);
    CHECK(refused("::1:10809") == std::errc::invalid_argument);
    { const UniqueFd nobody = listen_at_path(directory.path("gone")); }
    CHECK(refused("unix:" + directory.path("gone")) == std::errc::connection_refused);
}

TEST_CASE("connect: an opener that connects to nothing says so", "[unit][files]") {
    FilesOnly files;
    const auto error = thrown([&] { files.connect("storage:10809"); });
    CHECK(error.code() == std::errc::operation_not_supported);
    CHECK_THAT(error.what(), Catch::Contains("storage:10809"));
}
