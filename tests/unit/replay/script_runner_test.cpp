// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/script/script_runner.hpp"

#include <array>
#include <cstring>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;
using Catch::Contains;

namespace {

struct Run {
    Machine machine{16384};
    Target target = Machine::target();

    void run(const std::string& text) {
        const Script script = parse_script("test", text);
        for (const ring::Protocol protocol : script.ring.protocols)
            ScriptRunner(target, machine.backend, script, protocol).run();
    }
    std::string failure_of(const std::string& text) {
        try {
            run(text);
        } catch (const std::runtime_error& failure) {
            return failure.what();
        }
        return "";
    }
};

}  // namespace

TEST_CASE("script: a right backend passes the scripts that need no special disk", "[unit][replay]") {
    const std::string name = GENERATE("basic", "batch", "limits", "size", "discard", "indirect", "persistent",
                                      "multi-queue", "barrier-flush", "producer-overrun");
    Run run;
    const Script script = load_script(BLKTAP_SOURCE_DIR "/tests/replay/scripts/" + name + ".replay");
    CAPTURE(name);
    CHECK(script.ring.protocols.size() == 3);
    for (const ring::Protocol protocol : script.ring.protocols)
        CHECK_NOTHROW(ScriptRunner(run.target, run.machine.backend, script, protocol).run());
}

TEST_CASE("script: a right read-only backend, and one without discard, pass theirs", "[unit][replay]") {
    const std::string name = GENERATE("read-only", "read-only-discard", "no-discard");
    Run run;
    run.machine.backend.rules.read_only = name.starts_with("read-only");
    run.machine.backend.rules.discard = name != "no-discard";
    const Script script = load_script(BLKTAP_SOURCE_DIR "/tests/replay/scripts/" + name + ".replay");
    CHECK_NOTHROW(ScriptRunner(run.target, run.machine.backend, script, ring::Protocol::native).run());
}

TEST_CASE("script: a wrong status is named with its place", "[unit][replay]") {
    Run run;
    CHECK(run.failure_of("flush\nread segments=0-8 -> okay") == "test:2: expected okay, got error [native]");
    CHECK(run.failure_of("ring protocol=x86_32\nflush -> error") == "test:2: expected error, got okay [x86_32-abi]");
}

TEST_CASE("script: wrong ids and operations are named", "[unit][replay]") {
    Run run;
    SECTION("id") {
        run.machine.backend.change_answer = [](ring::Response& response) { response.id = 99; };
        CHECK_THAT(run.failure_of("flush"), Contains("expected okay for id 1 and operation 3, got okay for id 99"));
    }
    SECTION("the outer operation of an indirect request") {
        run.machine.backend.change_answer = [](ring::Response& response) { response.operation = 6; };
        CHECK_THAT(run.failure_of("indirect inner=read segments=0-7*12"),
                   Contains("expected okay for id 1 and operation 0, got okay for id 1 and operation 6"));
    }
    SECTION("more answers than requests") {
        run.machine.backend.answer_too_often = true;
        CHECK_THAT(run.failure_of("flush\nflush"), Contains("more answers than requests"));
    }
}

TEST_CASE("script: data that is not as expected is named", "[unit][replay]") {
    Run run;
    CHECK_THAT(run.failure_of("write sector=3 segments=0-7 fill=A\nread sector=3 segments=0-7 expect=B"),
               Contains("test:2: expected B of sector 3, got A of sector 3"));
    CHECK_THAT(run.failure_of("read sector=1000 segments=0-7 expect=A"), Contains("got zeros"));
    run.machine.backend.shift_sector = [](const ring::Judged&) { return 1u; };
    CHECK_THAT(run.failure_of("read sector=3 segments=0-7 expect=A"), Contains("got A of sector 4"));
}

TEST_CASE("script: an error answer leaves the data out of account", "[unit][replay]") {
    Run run;
    CHECK_NOTHROW(run.run("read sector=0xffffffffffffffff segments=0-7 expect=A -> error"));
}

TEST_CASE("script: a missing answer ends at the timeout, with its place", "[unit][replay]") {
    Run run;
    run.machine.backend.answer_nothing = true;
    run.target.timeout = std::chrono::milliseconds(20);
    CHECK_THAT(run.failure_of("batch\nflush\nend"), Contains("test:2: expected okay, got no answer within"));
}

TEST_CASE("script: an answer that must not come is named", "[unit][replay]") {
    Run run;
    CHECK_THAT(run.failure_of("flush -> none\nexpect-none"), Contains("test:2: expected no answer, got okay for id 1"));
    CHECK_THAT(run.failure_of("stopped"), Contains("test:1: expected no answer, got okay"));
}

TEST_CASE("script: a backend that dies is named with the line that waited", "[unit][replay]") {
    Run run;
    run.machine.backend.answer_nothing = true;
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    run.machine.backend.hangup_fd = pipe[0];
    ::close(pipe[1]);
    CHECK_THAT(run.failure_of("flush"), Contains("test:1: expected okay, got none: the memory backend went away"));
    ::close(pipe[0]);
}

TEST_CASE("script: a disk that is not as required is no failure but an error", "[unit][replay]") {
    Run run;
    const std::string text = "require read-only=no\nrequire size-sectors<=100\nflush";
    CHECK(run.failure_of(text) == "test:2: requires size-sectors<=100, the disk has 16384");
    try {
        run.run(text);
        FAIL("no error");
    } catch (const Failure&) {
        FAIL("a failure of the backend");
    } catch (const std::runtime_error&) {
    }
}

TEST_CASE("script: more requests than the ring has slots are an error of the script", "[unit][replay]") {
    Run run;
    std::string text = "batch\n";
    for (int i = 0; i < 33; ++i)
        text += "flush\n";
    CHECK_THAT(run.failure_of(text + "end"), Contains("test:34: the ring of 32 slots is full"));
}

TEST_CASE("script: reconnect makes fresh rings of the same kind", "[unit][replay]") {
    Run run;
    run.run("ring queues=2 order=1 persistent=yes discard=no\nflush\nreconnect\nflush queue=1");
    CHECK(run.machine.backend.connects == 2);
    const ipc::ConnectArguments& arguments = run.machine.backend.connected_with;
    CHECK(arguments.queues.size() == 2);
    CHECK(arguments.queues[0].ring_refs.size() == 2);
    CHECK(arguments.persistent);
    CHECK(!arguments.discard_enabled);
}
