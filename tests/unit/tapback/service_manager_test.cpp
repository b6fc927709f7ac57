// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/service_manager.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/base/captured_stderr.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// The service manager's end: a datagram socket of this name.
class Manager {
  public:
    explicit Manager(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name.data(), name.size());
        if (name.front() == '@') address.sun_path[0] = '\0';
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        REQUIRE(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    }

    /// The next message; empty: none.
    std::string next() const {
        char text[256];
        const ssize_t size = ::recv(fd_.get(), text, sizeof text, 0);
        return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
    }

  private:
    UniqueFd fd_;
};

}  // namespace

TEST_CASE("service manager: it is told once, and children do not learn its socket", "[unit][tapback]") {
    const TemporaryDirectory directory;
    for (const std::string& name : {directory.path("notify"), "@blktap-test-" + std::to_string(::getpid())}) {
        const Manager manager{name};
        tapback::notify_ready();
        CHECK(manager.next() == "READY=1");
        CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
        tapback::notify_ready();
        CHECK(manager.next().empty());
    }
}

TEST_CASE("service manager: one that cannot be told is logged, and does not end the daemon", "[unit][tapback]") {
    const TemporaryDirectory directory;
    for (const std::string& name : {directory.path("absent"), directory.path(std::string(200, 'x'))}) {
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
        const CapturedStderr captured;
        tapback::notify_ready();
        CHECK_THAT(captured.text(), Catch::Contains("service_manager.notify socket=" + name));
    }
}
