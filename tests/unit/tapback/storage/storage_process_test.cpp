// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFiles with the real storage processes. A stopped process stands for one whose storage does not answer. The test
// turns the clock.
#include <sys/wait.h>

#include "control/tapback/session/tapdisk_process.hpp"
#include "tests/support/process.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapback/storage/storage_fixture.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace std::chrono_literals;
using Catch::Contains;

TEST_CASE("storage process: a tapdisk gets the file from it, locked, and tapback never has it", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    t.open("5/51712", image);
    const ipc::Reply reply = t.answer();
    CHECK(reply.error_message == "");
    CHECK(reply.id == 1);
    REQUIRE(reply.descriptors.size() == 1);
    CHECK((::fcntl(reply.descriptors[0].get(), F_GETFL) & (O_ACCMODE | O_DIRECT)) == (O_RDWR | O_DIRECT));
    CHECK(t.files->count("5/51712") == 1);
    CHECK(is_locked(image));
    CHECK(t.holder_of(image) > 0);
    // The test is tapback and tapdisk in one: the one descriptor is the tapdisk's.
    CHECK(std::ranges::count(files_of(::getpid()), image) == 1);
    CHECK(std::ranges::count(files_of(t.starter_pid()), image) == 0);
}

TEST_CASE("storage process: it has no descriptor but its own, and stays in no session of ours", "[unit][tapback]") {
    StorageFixture t;
    const UniqueFd leaked{::open(t.make("leaked").c_str(), O_RDONLY | O_CLOEXEC)};
    t.open("5/51712", t.make("image"));
    t.open("6/51712", t.make("other"));
    CHECK(t.answer().error_message == "");
    CHECK(t.answer().error_message == "");
    for (const pid_t pid : t.processes()) {
        const auto open = files_of(pid);
        CHECK(std::ranges::count(open, t.directory.path("leaked")) == 0);
        CHECK(std::ranges::count(open, t.directory.path("image")) +
                  std::ranges::count(open, t.directory.path("other")) ==
              1);
        CHECK(std::ranges::count_if(open, [](const auto& name) { return name.starts_with("socket:"); }) == 1);
        CHECK(::getsid(pid) != ::getsid(0));
    }
}

TEST_CASE("storage process: what a disk may not have is refused by tapback's rules", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    t.open("5/51712", image);
    REQUIRE(t.answer().error_message == "");
    t.open("6/51712", image);
    const ipc::Reply busy = t.answer();
    CHECK(busy.error_code == "system:EBUSY");
    CHECK(busy.error_message == image + ": in use by the disk 5/51712");
    t.open("6/51712", t.directory.path("absent"));
    CHECK(t.answer().error_code == "system:ENOENT");
    const testing::TemporaryDirectory elsewhere(BLKTAP_BIN_DIR);
    t.open("6/51712", elsewhere.make_file("image", 4096));
    CHECK_THAT(t.answer().error_message, Contains("outside of image-directories"));
    const auto foreign =
        testing::thrown([&] { t.files->open("6/51712", raw(image), t.tapdisk.asks_for(t.make("not its own"), 9)); });
    CHECK_THAT(foreign.what(), Contains("not the image that this disk was given"));
    // Nothing is kept for a disk without files.
    CHECK(t.run_until([&] { return t.processes().size() == 1; }));
}

TEST_CASE("storage process: one that hangs keeps its own disk waiting and no other, and its tapdisk is told",
          "[unit][tapback]") {
    StorageFixture t;
    const std::string first = t.make("first");
    const pid_t stopped = t.open_and_stop("5/51712", first);
    t.files->release("5/51712");
    t.open("5/51712", first);
    t.open("6/51712", t.make("second"));
    const ipc::Reply other = t.answer();
    CHECK(other.id == 3);
    CHECK(other.error_message == "");
    t.clock.advance(ImageFiles::patience);
    const ipc::Reply late = t.answer();
    CHECK(late.id == 2);
    CHECK(late.error_code == "system:ETIMEDOUT");
    CHECK(late.error_message == first + ": its storage does not answer");
    // Asked for again, it is opened when the storage answers, and only then.
    t.open("5/51712", first);
    testing::send_signal(stopped, SIGCONT);
    const ipc::Reply again = t.answer();
    CHECK(again.id == 4);
    CHECK(again.error_message == "");
    CHECK(t.files->count("5/51712") == 1);
}

TEST_CASE("storage process: a file that comes when its tapdisk was given up has no user, and the next one gets it",
          "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    std::optional<LateRequest> request;
    t.open_and_die("5/51712", image, request);
    t.open("5/51712", image);
    t.clock.advance(ImageFiles::patience);
    const ipc::Reply late = t.answer();
    CHECK(late.id == 2);
    CHECK(late.error_code == "system:ETIMEDOUT");
    request.reset();
    t.open("5/51712", image);
    const ipc::Reply next = t.answer();
    CHECK(next.id == 3);
    CHECK(next.error_message == "");
    CHECK(next.descriptors.size() == 1);
    CHECK(t.files->count("5/51712") == 1);
}

TEST_CASE("storage process: files are not said to be closed, nor are they, before a dead tapdisk's requests are over",
          "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    std::optional<LateRequest> request;
    t.open_and_die("5/51712", image, request);
    bool closed = false;
    t.files->forget("5/51712", [&] { closed = true; });
    SECTION("and no other disk has them before") {
        t.open("6/51712", image);
        CHECK(t.answer().error_message == image + ": in use by the disk 5/51712");
        CHECK_FALSE(closed);
        CHECK(is_locked(image));
        request.reset();
        CHECK(t.run_until([&] { return closed; }));
    }
    SECTION("though tapback ends") {
        t.files.reset();
        CHECK(is_locked(image));
        request.reset();
    }
    CHECK(testing::wait_until([&] { return !is_locked(image); }));
    t.files.reset();
    CHECK(testing::wait_until([&] { return t.processes().empty(); }));
}

TEST_CASE("storage process: a file whose tapdisk was told that it does not come is not kept", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    const pid_t stopped = t.open_and_stop("5/51712", image);
    t.files->release("5/51712");
    t.open("5/51712", image);
    t.files->refuse_open("5/51712");
    CHECK_THAT(t.answer().error_message, Contains("its disk is being taken away"));
    testing::send_signal(stopped, SIGCONT);
    CHECK(t.run_until([&] { return t.processes().empty(); }));
    CHECK_FALSE(is_locked(image));
    CHECK(t.files->count("5/51712") == 0);
    CHECK_FALSE(t.tapdisk.channel->next().has_value());
}

TEST_CASE("storage process: files are closed in order, and it is said when they are", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    const pid_t stopped = t.open_and_stop("5/51712", image);
    std::vector<std::string> done;
    SECTION("released") {
        t.files->release("5/51712", [&] { done.emplace_back("first"); });
    }
    SECTION("forgotten") {
        t.files->forget("5/51712", [&] { done.emplace_back("first"); });
    }
    t.files->release("5/51712", [&] { done.emplace_back("second"); });
    t.files->release("6/51712", [&] { done.emplace_back("another"); });
    CHECK(done == std::vector<std::string>{"another"});
    t.open("6/51712", image);
    CHECK(t.answer().error_message == image + ": in use by the disk 5/51712");
    testing::send_signal(stopped, SIGCONT);
    CHECK(t.run_until([&] { return done.size() == 3; }));
    CHECK(done == std::vector<std::string>{"another", "first", "second"});
    CHECK_FALSE(is_locked(image));
    CHECK(t.run_until([&] { return t.processes().empty(); }));
}

TEST_CASE("storage process: a disk that is gone does not wait for a file that is being opened", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    const pid_t starter = t.starter_pid();
    testing::send_signal(starter, SIGSTOP);  // whatever is asked for hangs
    t.open("5/51712", image);
    bool forgotten = false;
    t.files->forget("5/51712", [&] { forgotten = true; });
    CHECK(forgotten);
    CHECK_THAT(t.answer().error_message, Contains("taken away"));
    // Its next life has a process of its own.
    t.open("5/51712", image);
    testing::send_signal(starter, SIGCONT);
    CHECK(t.answer().error_message == "");
    CHECK(t.run_until([&] { return t.processes().size() == 1; }));
    CHECK(is_locked(image));
}

TEST_CASE("storage process: what is open changes hands, and is closed for its new owner", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    t.open("of process 9", image);
    REQUIRE(t.answer().error_message == "");
    t.files->hand_over("of process 9", "5/51712");
    CHECK(t.files->count("of process 9") == 0);
    CHECK(t.files->count("5/51712") == 1);
    t.files->forget("of process 9");
    CHECK(is_locked(image));
    t.open("5/51712", image);  // the same one again
    CHECK(t.answer().error_message == "");
    CHECK(t.processes().size() == 1);
    bool released = false;
    t.files->release("5/51712", [&] { released = true; });
    CHECK(t.run_until([&] { return released; }));
    CHECK_FALSE(is_locked(image));
}

TEST_CASE("storage process: a tapdisk that asks for too much at once is refused", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    const pid_t stopped = t.open_and_stop("5/51712", image);
    const auto refused = testing::thrown([&] {
        for (std::size_t i = 0; i < ImageFiles::openings_max + 1; ++i)
            t.open("5/51712", image);
    });
    CHECK_THAT(refused.what(), Contains("16 files are being opened"));
    testing::send_signal(stopped, SIGCONT);
    CHECK(t.answer().error_message == "");
}

TEST_CASE("storage process: it ends with tapback; one that hangs, when its storage answers", "[unit][tapback]") {
    StorageFixture t;
    const std::string idle = t.make("idle");
    const std::string image = t.make("image");
    t.open("6/51712", idle);
    REQUIRE(t.answer().error_message == "");
    const pid_t stopped = t.open_and_stop("5/51712", image);
    t.files.reset();
    CHECK(testing::wait_until([&] { return t.processes() == std::vector{stopped}; }));
    CHECK_FALSE(is_locked(idle));
    testing::send_signal(stopped, SIGCONT);
    CHECK(testing::wait_until([&] { return t.processes().empty(); }));
    CHECK_FALSE(is_locked(image));
    const pid_t starter = t.starter_pid();
    t.starter.reset();
    CHECK(testing::wait_until([&] { return word_of(starter, "State").substr(0, 1) != "S"; }));
}

TEST_CASE("storage process: one that was killed is told of, and the next request has another", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    const pid_t stopped = t.open_and_stop("5/51712", image);
    bool released = false;
    SECTION("itself") {
        t.files->release("5/51712", [&] { released = true; });
        t.open("5/51712", image);
        testing::send_signal(stopped, SIGKILL);
        CHECK_THAT(t.answer().error_message, Contains("the process that opens its files has ended"));
        CHECK(t.run_until([&] { return released; }));
    }
    SECTION("and the one that starts them") {
        const pid_t starter = t.starter_pid();
        testing::send_signal(stopped, SIGKILL);
        testing::send_signal(starter, SIGKILL);
        const auto is_over = [](pid_t pid) {
            const std::string state = word_of(pid, "State");
            return state.empty() || state.starts_with('Z');
        };
        CHECK(t.run_until([&] { return is_over(starter) && is_over(stopped); }));
        // Both have closed their ends; that is found in the next round.
        int rounds = 0;
        CHECK(t.run_until([&] { return ++rounds > 3; }));
    }
    t.files->release("5/51712");
    t.open("5/51712", image);
    CHECK(t.answer().error_message == "");
    CHECK(is_locked(image));
}

TEST_CASE("storage process: the next tapback gets the files back from the tapdisk", "[unit][tapback]") {
    StorageFixture t;
    const std::string image = t.make("image");
    const auto hooks = [&]() -> TapdiskProcess::Hooks {
        return {.open_file = [&](FileRequest request) { t.files->open("5/51712", raw(image), std::move(request)); },
                .ended = [] {}};
    };
    auto process = TapdiskProcess::spawn(t.loop, {BLKTAP_BIN_DIR "/tapdisk", "--aio-slots=1"},
                                         t.directory.path("5-51712.sock"), hooks());
    std::optional<std::string> opened;
    process->call(ipc::Open{{"raw", image, false, {}, true}}, {},
                  [&](const ipc::Reply& reply) { opened = reply.error_message; });
    REQUIRE(t.run_until([&] { return opened.has_value(); }));
    REQUIRE(opened == "");
    t.files.emplace(t.loop, ImageDirectories{{t.directory.path("")}, {}}, [&] { return t.starter->start(); });
    bool taken = false;
    SECTION("and keeps them locked") {
        t.files->take("5/51712", raw(image), process->socket_path(), process->pid(), [&] { taken = true; });
        REQUIRE(t.run_until([&] { return taken; }));
        CHECK(t.files->count("5/51712") == 1);
        testing::send_signal(process->pid(), SIGKILL);
        ::waitpid(process->pid(), nullptr, 0);
        CHECK(is_locked(image));
        t.files->forget("5/51712");
        CHECK(t.run_until([&] { return t.processes().empty(); }));
        CHECK_FALSE(is_locked(image));
    }
    SECTION("but none that is not the image's") {
        t.files->take("5/51712", raw("/other"), process->socket_path(), process->pid(), [&] { taken = true; });
        REQUIRE(t.run_until([&] { return taken; }));
        CHECK(t.files->count("5/51712") == 0);
        CHECK(t.run_until([&] { return t.processes().empty(); }));
        testing::send_signal(process->pid(), SIGKILL);
        ::waitpid(process->pid(), nullptr, 0);
    }
    SECTION("nor from another process") {
        t.files->take("5/51712", raw(image), process->socket_path(), ::getpid(), [&] { taken = true; });
        REQUIRE(t.run_until([&] { return taken; }));
        CHECK(t.files->count("5/51712") == 0);
        testing::send_signal(process->pid(), SIGKILL);
        ::waitpid(process->pid(), nullptr, 0);
    }
}
