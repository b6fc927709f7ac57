// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageLink; the test plays the storage process, which may send anything.
#include "control/tapback/storage/storage_link.hpp"

#include <sys/socket.h>

#include "control/tapback/storage/storage_messages.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

struct PlayedProcess {
    PlayedProcess() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        process.emplace(ipc::MessageSocket{UniqueFd{ends[0]}});
        link.emplace(loop, ipc::MessageSocket{UniqueFd{ends[1]}});
    }
    void add(const std::string& name) {
        link->add(
            storage::Release{}, -1, [this](const ipc::Request& question) { asked.push_back(question.name); },
            [this, name](const ipc::Reply& reply) { done.push_back(name + ": " + reply.error_message); });
    }
    ipc::Request request() {
        auto taken = process->next_request();
        REQUIRE(taken.has_value());
        return std::move(*taken);
    }
    void turn() { loop.run_once(std::chrono::milliseconds(0)); }

    MonotonicClock clock{};
    EventLoop loop{clock};
    std::optional<ipc::Channel> process{};
    std::optional<StorageLink> link{};
    std::vector<std::string> asked{}, done{};
};

}  // namespace

TEST_CASE("storage link: jobs are done one after the other", "[unit][tapback]") {
    PlayedProcess t;
    t.add("first");
    t.add("second");
    const ipc::Request first = t.request();
    CHECK_FALSE(t.process->next_request().has_value());
    t.process->send_request(storage::Judge{});
    t.turn();
    CHECK(t.asked == std::vector<std::string>{"judge"});
    t.process->reply(first.id, {});
    t.turn();
    CHECK(t.done == std::vector<std::string>{"first: "});
    t.process->reply_error(t.request().id, Errc::wrong_state, "no");
    t.turn();
    CHECK(t.done == std::vector<std::string>{"first: ", "second: no"});
    CHECK(t.link->jobs() == 0);
    CHECK_FALSE(t.link->lost());
}

TEST_CASE("storage link: a process that says nonsense is lost, and each job is answered once", "[unit][tapback]") {
    PlayedProcess t;
    t.add("first");
    t.add("second");
    const ipc::Request first = t.request();
    std::string reason;
    SECTION("no message") {
        // An empty one counts as a hang-up.
        REQUIRE(::send(t.process->fd(), "{", 1, 0) == 1);
        reason = "JSON";
    }
    SECTION("an answer to another question") {
        t.process->reply(first.id + 7, {});
        reason = "answers what nobody asked";
    }
    SECTION("the end") {
        t.process.reset();
        reason = "receive";
    }
    t.turn();
    CHECK(t.link->lost());
    REQUIRE(t.done.size() == 2);
    CHECK_THAT(t.done[0], Catch::StartsWith("first: the process that opens its files has ended") && Contains(reason));
    CHECK_THAT(t.done[1], Catch::StartsWith("second: "));
    t.add("third");
    CHECK(t.done.size() == 3);
}

TEST_CASE("storage link: one that answers twice, or speaks unasked, is lost as well", "[unit][tapback]") {
    PlayedProcess t;
    t.add("first");
    const ipc::Request first = t.request();
    t.process->reply(first.id, {});
    if (GENERATE(false, true)) {
        t.process->reply(first.id, {});
    } else {
        t.process->send_request(storage::Judge{});
    }
    t.turn();
    CHECK(t.done == std::vector<std::string>{"first: "});
    CHECK(t.link->lost());
    CHECK(t.asked.empty());
}

TEST_CASE("storage link: what its owner throws is the answer to a question", "[unit][tapback]") {
    PlayedProcess t;
    t.link->add(
        storage::Release{}, -1,
        [](const ipc::Request&) { throw_error(std::make_error_code(std::errc::operation_not_permitted), "x"); },
        [](const ipc::Reply&) {});
    t.request();
    t.process->send_request(storage::Judge{});
    t.turn();
    const auto answer = t.process->next();
    REQUIRE((answer && answer->reply));
    CHECK(answer->reply->error_code == "system:EPERM");
    CHECK(t.link->jobs() == 1);
}

TEST_CASE("storage link: jobs of one that goes away are never answered", "[unit][tapback]") {
    PlayedProcess t;
    t.add("first");
    t.link.reset();
    t.turn();
    CHECK(t.done.empty());
    CHECK_THROWS_AS(
        [&] {
            t.request();
            t.process->next();
        }(),
        std::system_error);
}
