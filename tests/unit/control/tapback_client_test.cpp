// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/client/tapback_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/control/fake_tapback.hpp"

namespace blktap {
namespace {

using ipc::Json;
using testing::FakeTapback;
using testing::thrown;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE("tapback client: a result is returned, an error is thrown as tapback said it", "[unit][control]") {
    const FakeTapback tapback([](const ipc::Request& request) -> Json {
        if (request.name == "status") return {{"pid", 7}};
        throw_error(std::make_error_code(std::errc::device_or_resource_busy), "the image is in use by process 12");
    });
    TapbackClient client(tapback.socket());
    CHECK(client.call_for_json(ipc::Status{}, 10s) == Json{{"pid", 7}});
    const auto error = thrown([&] { client.call_for_json(ipc::TapFree{{3}}, 10s); });
    CHECK(error.code() == std::errc::device_or_resource_busy);
    CHECK_THAT(error.what(), Catch::StartsWith("the image is in use by process 12: "));
    CHECK(tapback.asked().at(1) == FakeTapback::Asked{"tap-free", {{"minor", 3}}, 0});
}

TEST_CASE("tapback client: says that tapback is not running, and where it looked", "[unit][control]") {
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path("tapback.sock");
    CHECK_THAT(thrown([&] { TapbackClient client(path); }).what(),
               Catch::StartsWith("tapback is not running: " + path));
    // A socket that nobody listens on any more is what a killed daemon leaves.
    const UniqueFd stale{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    CHECK_THAT(thrown([&] { TapbackClient client(path); }).what(),
               Catch::StartsWith("tapback is not running: " + path));
}

TEST_CASE("tapback client: one that never answers, or goes away, is named", "[unit][control]") {
    const testing::TemporaryDirectory directory;
    ipc::MessageListener listener(directory.path("tapback.sock"));
    TapbackClient client(directory.path("tapback.sock"));
    std::optional<ipc::MessageSocket> accepted = listener.accept();
    REQUIRE(accepted);
    const auto late = thrown([&] { client.call_for_json(ipc::Status{}, 100ms); });
    CHECK(late.code() == std::errc::timed_out);
    CHECK_THAT(late.what(), Catch::StartsWith("tapback did not answer 'status' within 0.1 s"));
    accepted.reset();
    const auto gone = thrown([&] { client.call_for_json(ipc::Status{}, 10s); });
    CHECK(gone.code() == Errc::peer_closed);
    CHECK_THAT(gone.what(), Catch::StartsWith("tapback went away before it answered 'status'"));
    const auto all = thrown([&] { client.call_all(std::vector<ipc::VbdAbout>(3), 10s); });
    CHECK_THAT(all.what(), Catch::StartsWith("tapback went away before it answered '"));
}

TEST_CASE("tapback client: looks where the environment says", "[unit][control]") {
    ::unsetenv("TAPBACK_SOCKET");
    CHECK(default_tapback_socket() == "/run/tapdisk/tapback.sock");
    ::setenv("TAPBACK_SOCKET", "/tmp/other.sock", 1);
    CHECK(default_tapback_socket() == "/tmp/other.sock");
    ::unsetenv("TAPBACK_SOCKET");
}

}  // namespace blktap
