// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/problem_hook.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/clock.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::tapback;
using blktap::testing::TemporaryDirectory;
using namespace std::chrono_literals;

namespace {

struct Hook {
    /// A shell script.
    std::string script(const std::string& body) const {
        const std::string path = directory.path("hook");
        std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        return path;
    }
    std::string output() const {
        std::ostringstream text;
        text << std::ifstream(directory.path("hook.out")).rdbuf();
        return text.str();
    }
    void finish(const ProblemHook& hook) {
        while (hook.running() > 0)
            loop.run_once();
    }

    TemporaryDirectory directory;
    MonotonicClock clock;
    EventLoop loop{clock};
    const ipc::Problem problem{"no-space", 1, "no space; $(reboot)"};
};

}  // namespace

TEST_CASE("problem hook: is told which disk, what, and whether it begins", "[unit][tapback]") {
    Hook t;
    ProblemHook hook(t.loop, t.script(R"(printf '%s|' "$@" >>"$0.out")"));
    hook.run("5/51712", t.problem, true);
    t.finish(hook);
    hook.run("5/51712", t.problem, false);
    t.finish(hook);
    CHECK(t.output() == "5/51712|no-space|begin|no space; $(reboot)|5/51712|no-space|end|no space; $(reboot)|");
}

TEST_CASE("problem hook: none, one that does not exist and one that fails are no error", "[unit][tapback]") {
    Hook t;
    ProblemHook none(t.loop, "");
    none.run("5/51712", t.problem, true);
    CHECK(none.running() == 0);
    ProblemHook absent(t.loop, t.directory.path("absent"));
    absent.run("5/51712", t.problem, true);
    CHECK(absent.running() == 0);
    ProblemHook failing(t.loop, t.script("exit 3"));
    failing.run("5/51712", t.problem, true);
    t.finish(failing);
}

TEST_CASE("problem hook: beyond the limit the last change of each problem waits", "[unit][tapback]") {
    Hook t;
    ProblemHook hook(t.loop, t.script(R"(read line <"$0.fifo"; printf '%s %s|' "$2" "$3" >>"$0.out")"));
    REQUIRE(::mkfifo(t.directory.path("hook.fifo").c_str(), 0600) == 0);
    for (std::size_t i = 0; i < ProblemHook::running_max; ++i)
        hook.run("5/51712", {"first", 1, ""}, true);
    for (int i = 0; i < 1001; ++i)
        hook.run("5/51712", {"second", 1, ""}, i % 2 == 0);
    hook.run("5/51712", {"third", 1, ""}, false);
    const UniqueFd fifo{::open(t.directory.path("hook.fifo").c_str(), O_RDWR | O_CLOEXEC)};
    const std::string lines(ProblemHook::running_max * 64, '\n');
    REQUIRE(::write(fifo.get(), lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()));
    // Each takes what is in the pipe when it reads.
    while (hook.running() > 0) {
        t.loop.run_once(20ms);
        if (::write(fifo.get(), "\n", 1) != 1) break;
    }
    const std::string output = t.output();
    CHECK_THAT(output, Catch::Contains("second begin|"));
    CHECK_THAT(output, Catch::Contains("third end|"));
    CHECK_THAT(output, !Catch::Contains("second end|"));
}

TEST_CASE("problem hook: of one that hangs no more than a few are started", "[unit][tapback]") {
    Hook t;
    ProblemHook hook(t.loop, t.script(R"(read line <"$0.fifo")"));
    REQUIRE(::mkfifo(t.directory.path("hook.fifo").c_str(), 0600) == 0);
    for (std::size_t i = 0; i < ProblemHook::running_max; ++i)
        hook.run("5/51712", t.problem, true);
    hook.run("5/51712", t.problem, true);
    CHECK(hook.running() == ProblemHook::running_max);
    const UniqueFd fifo{::open(t.directory.path("hook.fifo").c_str(), O_RDWR | O_CLOEXEC)};
    const std::string lines(ProblemHook::running_max * 64, '\n');
    REQUIRE(::write(fifo.get(), lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()));
    t.finish(hook);
    hook.run("5/51712", t.problem, false);
    CHECK(hook.running() == 1);
    REQUIRE(::write(fifo.get(), lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()));
    t.finish(hook);
}
