// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskProcess with the real tapdisk, with tapdisks that misbehave, and a clock that the test turns.
#include "control/tapback/session/tapdisk_process.hpp"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>

#include "control/tapback/storage/process_starter.hpp"
#include "libblktap/base/defaults.hpp"
#include "libblktap/base/small_file.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/few_descriptors.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

struct Fixture {
    Fixture() { clock.advance(1h); }
    ~Fixture() {
        if (process && !ended) testing::send_signal(process->pid(), SIGKILL);
        if (process && !ended) run_until([&] { return ended; });
    }

    TapdiskProcess::Hooks hooks() {
        return {.open_file = [](const FileRequest& request) { throw_error(Errc::wrong_state, request.file().path); },
                .ended = [this] { ended = true; },
                .problems = [this](const ipc::Problems&) { ++problems; },
                .lost = [this](const std::string& reason) { lost = reason; }};
    }
    void start(const std::vector<std::string>& command) {
        process = TapdiskProcess::spawn(loop, command, socket, hooks());
    }
    void start_real() { start({BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1"}); }
    void start_stand_in(const char* mode) { start({BLKTAP_TESTS_DIR "/stand_in_tapdisk", mode}); }
    void start_script(const std::string& body) {
        const std::string path = directory.path("script");
        std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        start({path});
    }
    /// As another tapback does, which starts now.
    bool find(const std::optional<ProcessId>& known) {
        bool is_known = false;
        const auto look = [&] {
            try {
                process = TapdiskProcess::find(loop, search, known, socket, hooks());
                is_known = true;
            } catch (const std::system_error& error) {
                if (error.code() != std::errc::resource_unavailable_try_again) throw;
            }
            return is_known;
        };
        const bool found_out = run_until(look);  // which may throw
        REQUIRE(found_out);
        return process != nullptr;
    }
    void forget() {
        process.reset();
        lost.clear();
    }

    template <class Condition>
    bool run_until(Condition condition) {
        for (int i = 0; i < 2000; ++i) {
            if (condition()) return true;
            loop.run_once(10ms);
        }
        return false;
    }
    /// The reply to a message; none within a while: an error that says so.
    template <ipc::DeclaredMessage M>
    ipc::Reply ask(const M& message) {
        std::optional<ipc::Reply> answer;
        process->call(message, {}, [&](ipc::Reply reply) { answer.emplace(std::move(reply)); });
        run_until([&] { return answer.has_value(); });
        return answer ? std::move(*answer) : error_reply(std::make_error_code(std::errc::timed_out), "no answer");
    }
    /// From here on it outlives its tapback.
    void open_image() {
        ipc::OpenArguments image;
        image.format = "raw";
        image.path = directory.make_file("image", 1 << 20);
        image.options = {{"buffered", "yes"}};
        REQUIRE(ask(ipc::Open{image}).error_message == "");
    }

    testing::TemporaryDirectory directory{BLKTAP_BIN_DIR};
    std::string socket = directory.path("5-51712.sock");
    ManualClock clock{};
    EventLoop loop{clock};
    storage::ProcessStarter starter{loop, {.program = BLKTAP_BIN_DIR "/tapback"}};
    TapdiskSearch search{loop, [this] { return starter.start(); }};
    std::unique_ptr<TapdiskProcess> process{};
    bool ended = false;
    int problems = 0;
    std::string lost{};
};

}  // namespace

TEST_CASE("tapdisk process: why one cannot start is the answer to what it was asked", "[unit][tapback]") {
    Fixture t;
    t.start({"/usr/bin/prlimit", "--nofile=6", BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1"});
    const ipc::Reply reply = t.ask(ipc::Stats{});
    CHECK(reply.error_code == "system:EMFILE");
    CHECK_THAT(reply.error_message, Catch::StartsWith("its tapdisk did not start: "));
    CHECK(t.run_until([&] { return t.ended; }));
    CHECK_THAT(t.process->end_reason(), Contains("did not start"));
}

TEST_CASE("tapdisk process: its socket is there from the start, and names the tapdisk to who connects",
          "[unit][tapback]") {
    Fixture t;
    t.start_real();
    CHECK(std::filesystem::exists(t.socket));
    REQUIRE(t.ask(ipc::About{}).error_message == "");
    CHECK(ipc::MessageSocket::connect_to(t.socket).peer_pid() == t.process->pid());
}

TEST_CASE("tapdisk process: what cannot be started leaves no socket", "[unit][tapback]") {
    Fixture t;
    CHECK(testing::thrown([&] { t.start({"/nowhere/tapdisk"}); }).code() == std::errc::no_such_file_or_directory);
    CHECK_FALSE(std::filesystem::exists(t.socket));
    t.socket = "/nowhere/at/all.sock";
    const auto error = testing::thrown([&] { t.start_real(); });
    CHECK(error.code() == std::errc::no_such_file_or_directory);
    CHECK_THAT(error.what(), Catch::StartsWith("its tapdisk did not start: /nowhere/at/all.sock"));
}

TEST_CASE("tapdisk process: the socket of one that ended while tapback was away is removed", "[unit][tapback]") {
    Fixture t;
    t.start_real();
    t.open_image();
    const ProcessId id = t.process->id();
    t.forget();
    testing::send_signal(id.pid, SIGTERM);
    REQUIRE(::waitpid(id.pid, nullptr, 0) == id.pid);
    t.ended = true;
    CHECK(std::filesystem::exists(t.socket));
    CHECK_FALSE(t.find(id));
    CHECK_FALSE(std::filesystem::exists(t.socket));
}

TEST_CASE("tapdisk process: one with a sandbox is known by its number here, and ends when asked", "[unit][tapback]") {
    Fixture t;
    TapdiskProcesses processes(t.loop, t.search, {BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1", "--sandbox=on"},
                               Place::own_namespace);
    const auto process = processes.start(t.socket, t.hooks());
    std::optional<ipc::Reply> about;
    process->call(ipc::About{}, {}, [&](ipc::Reply reply) { about.emplace(std::move(reply)); });
    REQUIRE(t.run_until([&] { return about.has_value(); }));
    CHECK(about->error_message == "");
    CHECK(about->result.value("pid", 0) == process->pid());
    CHECK_THAT(about->result.value("sandbox", ""), Catch::StartsWith("on"));
    process->terminate();
    CHECK(t.run_until([&] { return t.ended; }));
    CHECK(process->end_reason() == "exited with status 0");
}

TEST_CASE("tapdisk process: one with a sandbox that nobody tells a user becomes one all the same", "[unit][tapback]") {
    Fixture t;
    t.start({BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1", "--sandbox=on"});
    const ipc::Reply about = t.ask(ipc::About{});
    CHECK(about.error_message == "");
    CHECK_THAT(about.result.value("sandbox", ""), Catch::StartsWith("on"));
    std::ifstream status("/proc/" + std::to_string(t.process->pid()) + "/status");
    std::string line;
    while (std::getline(status, line) && !line.starts_with("Uid:\t")) {
    }
    const auto own = default_first_user + static_cast<uid_t>(t.process->pid());
    CHECK_THAT(line + '\t', Contains('\t' + std::to_string(::geteuid() == 0 ? own : ::geteuid()) + '\t'));
}

TEST_CASE("tapdisk process: one with a sandbox that is asked to end before it serves does so", "[unit][tapback]") {
    Fixture t;
    TapdiskProcesses processes(t.loop, t.search, {BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1", "--sandbox=on"},
                               Place::own_namespace);
    const auto process = processes.start(t.socket, t.hooks());
    process->terminate();
    CHECK(t.run_until([&] { return t.ended; }));
    CHECK(process->end_reason() == "exited with status 0");
}

TEST_CASE("tapdisk process: one with a sandbox enters its control group, which has room for its image",
          "[unit][tapback]") {
    Fixture t;
    const std::string top = t.directory.path("groups"), group = top + "/tapdisk-5-51712";
    std::filesystem::create_directories(group);
    for (const char* file : {"/memory.max", "/cgroup.procs"})
        std::ofstream(group + file);
    TapdiskProcesses processes(t.loop, t.search, {BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1", "--sandbox=on"},
                               Place::own_namespace, ControlGroups(top, 256 << 20));
    const auto contents = [&](const char* file) { return read_small_file(group + file).value_or(""); };
    t.process.reset(static_cast<TapdiskProcess*>(processes.start(t.socket, t.hooks()).release()));
    REQUIRE(t.ask(ipc::About{}).error_message == "");
    CHECK(contents("/cgroup.procs") == "0");
    CHECK(contents("/memory.max") == std::to_string((256 << 20) + (1 << 30)));
    ipc::OpenArguments image;
    image.format = "raw";
    image.path = "/nowhere";
    image.options = {{"memory-budget", "2G"}};
    t.ask(ipc::Open{image});
    CHECK(contents("/memory.max") == std::to_string(std::uint64_t{3} << 30));
    // Its files are in the way of the group's removal, as a process is.
    for (const char* file : {"/memory.max", "/cgroup.procs"})
        std::filesystem::remove(group + file);
    t.process->terminate();
    CHECK(t.run_until([&] { return t.ended; }));
    CHECK_FALSE(std::filesystem::exists(group));
}

TEST_CASE("tapdisk process: of one that ends without a word the status or signal is told", "[unit][tapback]") {
    Fixture t;
    SECTION("a status") {
        t.start_script("exit 3");
        CHECK_THAT(t.ask(ipc::Stats{}).error_message, Contains("exited with status 3"));
    }
    SECTION("a signal") {
        t.start_script("kill -KILL $$");
        CHECK_THAT(t.ask(ipc::Stats{}).error_message, Contains("killed by signal 9 (Killed)"));
    }
    SECTION("a program that is none") {
        t.start({BLKTAP_BIN_DIR "/tapdisk", "--no-such-option"});
        CHECK_THAT(t.ask(ipc::Stats{}).error_message, Contains("exited with status 2"));
    }
    CHECK(t.run_until([&] { return t.ended; }));
}

TEST_CASE("tapdisk process: a last word is cut, and cannot write to a terminal", "[unit][tapback]") {
    Fixture t;
    t.start_stand_in("last-word");
    const ipc::Reply reply = t.ask(ipc::Stats{});
    CHECK(reply.error_code == "system:ENOSPC");
    CHECK_THAT(reply.error_message, Contains("?[2J forged?line xxx"));
    CHECK(reply.error_message.size() < 600);
    CHECK(std::ranges::all_of(reply.error_message, [](char c) { return c >= ' ' && c <= '~'; }));
}

TEST_CASE("tapdisk process: one that does not end when asked is killed after a minute", "[unit][tapback]") {
    Fixture t;
    t.start_stand_in("deaf");
    REQUIRE(t.ask(ipc::Open{}).error_code == "");
    if (GENERATE(false, true)) {
        // The same for one that another tapback started.
        const ProcessId id = t.process->id();
        t.forget();
        REQUIRE(t.find(id));
    }
    t.process->terminate();
    t.clock.advance(TapdiskProcess::end_patience / 2);
    t.process->terminate();  // asked again, it has no longer
    t.clock.advance(TapdiskProcess::end_patience / 2 - 1ns);
    for (int i = 0; i < 20; ++i)
        t.loop.run_once(10ms);
    CHECK_FALSE(t.ended);
    t.clock.advance(1ns);
    CHECK(t.run_until([&] { return t.ended; }));
}

TEST_CASE("tapdisk process: is found by its process, whatever became of its socket", "[unit][tapback]") {
    Fixture t;
    t.start_real();
    t.open_image();
    const ProcessId id = t.process->id();
    t.forget();
    std::optional<ProcessId> known = id;
    SECTION("it listens") {
        REQUIRE(t.find(known));
        CHECK(t.process->is_connected());
        CHECK(t.ask(ipc::Stats{}).result.value("state", "") == "open");
    }
    SECTION("it listens, and no record says which process it is") {
        REQUIRE(t.find(std::nullopt));
        CHECK(t.process->is_connected());
    }
    SECTION("its socket is gone") {
        std::filesystem::remove(t.socket);
        if (GENERATE(false, true)) known.reset();
        REQUIRE(t.find(known));
        CHECK_FALSE(t.process->is_connected());
        CHECK(testing::thrown([&] { t.process->connect(); }).code() == std::errc::no_such_file_or_directory);
        CHECK_THAT(t.ask(ipc::Stats{}).error_message, Contains("cannot be asked"));
        CHECK(t.lost != "");
    }
    SECTION("another listens there") {
        std::filesystem::remove(t.socket);
        const ipc::MessageListener other(t.socket);
        REQUIRE(t.find(known));
        CHECK_FALSE(t.process->is_connected());
        CHECK(testing::thrown([&] { t.process->connect(); }).code() == std::errc::device_or_resource_busy);
    }
    CHECK(t.process->id() == id);
    CHECK_FALSE(t.ended);
    t.process->terminate();
    CHECK(t.run_until([&] { return t.ended; }));
    t.forget();
    CHECK_FALSE(t.find(id));
    CHECK_FALSE(t.find(std::nullopt));
}

TEST_CASE("tapdisk process: another process of the same number is not it", "[unit][tapback]") {
    Fixture t;
    t.start_real();
    t.open_image();
    ProcessId other = t.process->id();
    t.forget();
    ++other.start_ticks;
    CHECK_FALSE(t.find(other));
    --other.start_ticks;
    REQUIRE(t.find(other));
}

TEST_CASE("tapdisk process: without descriptors it cannot be said whether it lives", "[unit][tapback]") {
    Fixture t;
    t.start_real();
    t.open_image();
    const ProcessId id = t.process->id();
    t.forget();
    for (unsigned left = 0; left < 3; ++left) {
        const testing::FewDescriptors few{left};
        // With one descriptor it can be, but not be connected to.
        try {
            const bool found = t.find(id);
            CHECK(found);
        } catch (const std::system_error& error) {
            CHECK(error.code() == std::errc::too_many_files_open);
        }
        CHECK(testing::thrown([&] {
                  const testing::FewDescriptors none{0};
                  t.find(std::nullopt);
              }).code() == std::errc::too_many_files_open);
        t.forget();
    }
    REQUIRE(t.find(id));
    CHECK(t.process->is_connected());
}

TEST_CASE("tapdisk process: one that says too much is listened to in small pieces, and then killed",
          "[unit][tapback]") {
    Fixture t;
    t.start_stand_in(GENERATE("problems", "replies", "requests"));
    REQUIRE(t.ask(ipc::Open{}).error_code == "");
    REQUIRE(t.ask(ipc::Watch{}).error_code == "");
    const auto told_a_round = [&] {
        const int before = t.problems;
        t.loop.run_once(10ms);
        return t.problems - before;
    };
    int most = 0;
    for (int i = 0; i < 2000 && t.process->is_connected(); ++i)
        most = std::max(most, told_a_round());
    CHECK_FALSE(t.process->is_connected());
    CHECK(most <= TapdiskProcess::messages_per_wakeup);
    CHECK(t.problems <= TapdiskProcess::unasked_burst);
    CHECK(t.run_until([&] { return t.ended; }));
    CHECK_THAT(t.process->end_reason(),
               Contains("was killed: it says too much") || Contains("was killed: it does not read the answers"));
}

TEST_CASE("tapdisk process: one that sends what is no message is killed, and a file that it sends never arrives",
          "[unit][tapback]") {
    Fixture t;
    const auto [mode, reason] = GENERATE(std::pair{"descriptors", "with a descriptor"},
                                         std::pair{"garbage", "not JSON"}, std::pair{"huge", "longer than"});
    t.start_stand_in(mode);
    CHECK_THAT(t.ask(ipc::Stats{}).error_message, Contains("its tapdisk has ended"));
    CHECK(t.run_until([&] { return t.ended; }));
    CHECK_THAT(t.process->end_reason(), Contains("was killed: it sends what is no message") && Contains(reason));
    CHECK(t.problems == 0);
}

TEST_CASE("tapdisk process: one that was too noisy is not listened to again", "[unit][tapback]") {
    Fixture t;
    t.start_stand_in("replies");
    REQUIRE(t.ask(ipc::Watch{}).error_code == "");
    REQUIRE(t.run_until([&] { return !t.process->is_connected(); }));
    const std::system_error refused = testing::thrown([&] { t.process->connect(); });
    CHECK(refused.code() == std::errc::protocol_error);
    CHECK_THAT(refused.what(), Contains("says too much"));
    CHECK_THAT(t.ask(ipc::Stats{}).error_message, Contains("says too much"));
}
