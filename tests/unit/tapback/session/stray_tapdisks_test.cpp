// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/stray_tapdisks.hpp"

#include <csignal>
#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/tapback/storage/process_starter.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;

namespace {

struct Fixture {
    void end_strays() {
        strays.end(directory.path(""), [this](const std::string& name) { return name == known; });
    }
    template <class Condition>
    bool run_until(Condition condition) {
        for (int i = 0; i < 1000 && !condition(); ++i)
            loop.run_once(20ms);
        return condition();
    }
    bool exists(const std::string& name) const { return std::filesystem::exists(directory.path(name)); }
    /// A socket on which nobody listens any more.
    void leave_socket(const std::string& name) const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        directory.path(name).copy(address.sun_path, sizeof address.sun_path - 1);
        const UniqueFd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
        REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    /// By hand: it serves until somebody ends it.
    ChildProcess start_by_hand(const std::string& name) {
        ChildProcess child =
            spawn_child({BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1", "--control", directory.path(name)});
        REQUIRE(run_until([&] { return listens(name); }));
        return child;
    }
    bool listens(const std::string& name) const {
        try {
            ipc::MessageSocket::connect_to(directory.path(name));
            return true;
        } catch (const std::system_error&) {
            return false;
        }
    }

    testing::TemporaryDirectory directory{BLKTAP_BIN_DIR};
    MonotonicClock clock{};
    EventLoop loop{clock};
    storage::ProcessStarter starter{loop, {.program = BLKTAP_BIN_DIR "/tapback"}};
    TapdiskSearch search{loop, [this] { return starter.start(); }};
    StrayTapdisks strays{loop, search};
    std::string known{};
};

}  // namespace

TEST_CASE("stray tapdisks: one that was started by hand is left alone, whatever its socket is called",
          "[unit][tapback]") {
    Fixture t;
    const std::string name = GENERATE("tapdisk-4711.sock", "5-51712.sock", "tap-0.sock");
    const ChildProcess child = t.start_by_hand(name);
    t.end_strays();
    for (int i = 0; i < 20; ++i)
        t.loop.run_once(20ms);
    CHECK(t.listens(name));
    child.kill();
}

TEST_CASE("stray tapdisks: one that a tapback started and nobody knows is ended", "[unit][tapback]") {
    Fixture t;
    const std::string image = t.directory.make_file("image", 1 << 20);
    bool opened = false;
    auto process =
        TapdiskProcess::spawn(t.loop, {BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1"}, t.directory.path("5-51712.sock"),
                              {.open_file = [](const FileRequest&) {}, .ended = [] {}});
    const ProcessId id = process->id();
    const ipc::Open open{{"raw", image, false, {{"buffered", "yes"}}, false}};
    process->call(open, {}, [&](const ipc::Reply& reply) { opened = reply.error_code.empty(); });
    REQUIRE(t.run_until([&] { return opened; }));
    process.reset();
    t.known = "5-51712.sock";
    t.end_strays();
    CHECK(t.listens("5-51712.sock"));
    t.known = "";
    t.end_strays();
    CHECK(t.run_until([&] { return !open_process(id).has_value(); }));
    CHECK(t.run_until([&] { return !t.exists("5-51712.sock"); }));
    ::waitpid(id.pid, nullptr, 0);
}

TEST_CASE("stray tapdisks: sockets that are left are removed, and only those with names of ours", "[unit][tapback]") {
    Fixture t;
    for (const char* name : {"5-51712.sock", "tap-3.sock", "tapdisk-4711.sock", "x-1.sock", "5-.sock"})
        t.leave_socket(name);
    t.end_strays();
    CHECK_FALSE(t.exists("5-51712.sock"));
    CHECK_FALSE(t.exists("tap-3.sock"));
    CHECK(t.exists("tapdisk-4711.sock"));
    CHECK(t.exists("x-1.sock"));
    CHECK(t.exists("5-.sock"));
}
