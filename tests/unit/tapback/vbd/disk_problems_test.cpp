// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_problems.hpp"

#include <fstream>
#include <sys/stat.h>

#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;

namespace {

struct ProblemHost {
    void turn(Nanoseconds time) {
        clock.advance(time);
        loop.run_once(0ns);
    }
    /// Whether there was something to tell, which is told now.
    bool take() {
        const bool news = !problems.is_told();
        problems.tell();
        return news;
    }

    ManualClock clock{};
    EventLoop loop{clock};
    ProblemHook hook{loop, ""};
    int changes = 0;
    DiskProblems problems{loop, hook, "5/51712", [this] { ++changes; }};
};

const ipc::Problems space_is_short{{{"no-space", 5, "writes wait for space"}}};

}  // namespace

TEST_CASE("disk problems: why a disk does not serve is told once, and that it is over", "[unit][tapback]") {
    ProblemHost t;
    CHECK(t.problems.is_told());
    CHECK(t.problems.set_reason("no such file"));
    CHECK(t.problems.text() == "no such file");
    CHECK(t.take());
    CHECK_FALSE(t.problems.set_reason("no such file"));
    CHECK_FALSE(t.take());
    CHECK(t.problems.set_reason(""));
    CHECK(t.take());
    CHECK(t.problems.text().empty());
}

TEST_CASE("disk problems: a storage's is told when it begins, and when it has stayed away", "[unit][tapback]") {
    ProblemHost t;
    t.problems.set_reason("held");
    t.problems.see(space_is_short);
    CHECK(t.changes == 1);
    CHECK(t.problems.text() == "held; writes wait for space");
    CHECK(t.take());
    t.problems.see({});
    CHECK(t.changes == 1);
    t.turn(DiskProblems::quiet - 1ns);
    CHECK(t.problems.text() == "held; writes wait for space");
    t.turn(1ns);
    CHECK(t.changes == 2);
    CHECK(t.problems.text() == "held");
    CHECK(t.take());
}

TEST_CASE("disk problems: the hook is run when a disk is held, with the reason, and when it is not any more",
          "[unit][tapback]") {
    const testing::TemporaryDirectory directory;
    const std::string hook = directory.path("hook");
    const std::string said = directory.path("said");
    std::ofstream(hook) << "#!/bin/sh\necho \"$@\" >>" << said << '\n';
    REQUIRE(::chmod(hook.c_str(), 0700) == 0);
    const MonotonicClock clock;
    EventLoop loop{clock};
    ProblemHook runner{loop, hook};
    DiskProblems problems{loop, runner, "5/51712", [] {}};
    problems.set_held(false);
    CHECK(runner.running() == 0);
    problems.set_reason("its tapdisk died");
    for (const bool held : {true, true, false}) {
        problems.set_held(held);
        while (runner.running() != 0)
            loop.run_once();
    }
    CHECK(testing::read_file(said) == "5/51712 held begin its tapdisk died\n5/51712 held end its tapdisk died\n");
}

TEST_CASE("disk problems: what a tapdisk said goes with it", "[unit][tapback]") {
    ProblemHost t;
    t.problems.see(space_is_short);
    t.problems.see({});
    t.problems.forget_storage();
    CHECK(t.problems.text().empty());
    t.turn(DiskProblems::quiet);
    CHECK(t.changes == 1);
}
