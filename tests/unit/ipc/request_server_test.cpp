// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/request_server.hpp"

#include <unistd.h>

#include "libblktap/ipc/messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::ipc {
namespace {

struct Handlers {
    DeviceDescription operator()(const Resize& message, Call&) { return {.size_sectors = message.size_bytes / 512}; }
    void operator()(const Pause&, Call& call) { pauses.push_back(call.answer); }
    Nothing operator()(const Close&, Call&) { throw_error(Errc::wrong_state, "close: not now"); }
    void operator()(const Record&, Call& call) {
        call.take_descriptor("record");
        call.answer(Nothing{});
    }
    Problems operator()(const Watch&, Call& call) {
        watcher = call.client;
        return {};
    }

    std::vector<Answer> pauses;
    std::uint64_t watcher = 0;
};

struct Served {
    Served() { server.serve(handlers, MessageList<Resize, Pause, Close, Record, Watch>{}); }
    void settle() {
        for (int i = 0; i < 5; ++i)
            loop.run_once(Nanoseconds{0});
    }
    /// The next answer on a client's socket.
    Reply next(Channel& client) {
        for (int i = 0; i < 100; ++i) {
            if (auto parsed = client.next()) return std::move(parsed->reply.value());
            loop.run_once(Nanoseconds{0});
        }
        FAIL("no answer");
        return {};
    }
    template <DeclaredMessage M>
    Reply ask(const M& message) {
        client.send_request(message);
        return next(client);
    }

    testing::TemporaryDirectory directory{BLKTAP_BIN_DIR};
    MonotonicClock clock{};
    EventLoop loop{clock};
    MessageListener listener{directory.path("socket")};
    Handlers handlers{};
    std::vector<std::uint64_t> gone{};
    std::vector<std::string> refused{};
    RequestServer server{loop,
                         listener,
                         {.gone = [this](std::uint64_t id) { gone.push_back(id); },
                          .refused = [this](const std::string& reason) { refused.push_back(reason); }}};
    Channel client{MessageSocket::connect_to(directory.path("socket"))};
};

}  // namespace

TEST_CASE("request server: a message is answered at once, later, or with what its handler throws", "[unit][ipc]") {
    Served t;
    CHECK(t.ask(Resize{4096}).result.get<DeviceDescription>().size_sectors == 8);
    const std::uint64_t id = t.client.send_request(Pause{});
    t.settle();
    CHECK_FALSE(t.client.next().has_value());
    CHECK(t.ask(Resize{512}).error_code.empty());
    t.handlers.pauses.at(0)(Json::object());
    CHECK(t.next(t.client).id == id);
    const Reply refused = t.ask(Close{});
    CHECK(refused.error_code == "wrong-state");
    CHECK_THAT(refused.error_message, Catch::StartsWith("close: not now"));
    CHECK(t.refused.size() == 1);
}

TEST_CASE("request server: what is not served, or malformed, is answered with the reason", "[unit][ipc]") {
    Served t;
    CHECK(t.ask(Stats{}).error_code == "unknown-request");
    t.client.send_request("resize", {{"size", "20G"}});
    const Reply malformed = t.next(t.client);
    CHECK(malformed.error_code == "bad-message");
    CHECK_THAT(malformed.error_message, Catch::StartsWith("resize: size: not a whole number"));
    CHECK(malformed.id != 0);
    CHECK(t.ask(Record{}).error_code == "bad-message");  // without its descriptor
    MessageSocket raw = MessageSocket::connect_to(t.directory.path("socket"));
    for (const auto& [text, code] :
         {std::pair{R"({"version":2,"id":1,"request":"pause"})", "bad-version"}, std::pair{"{", "bad-message"}}) {
        raw.send(text);
        std::optional<Message> message;
        for (int i = 0; i < 100 && !message; ++i) {
            t.loop.run_once(Nanoseconds{0});
            message = raw.receive();
        }
        REQUIRE(message);
        CHECK(parse_message(std::move(*message)).reply->error_code == code);
    }
    CHECK(t.ask(Resize{512}).error_code.empty());
}

TEST_CASE("request server: a request is answered once, whoever answers it again", "[unit][ipc]") {
    Served t;
    t.client.send_request(Pause{});
    t.settle();
    const Answer answer = t.handlers.pauses.at(0);
    answer(Json::object());
    answer.fail(Errc::wrong_state, "late");
    CHECK(t.next(t.client).error_code.empty());
    t.settle();
    CHECK_FALSE(t.client.next().has_value());
}

TEST_CASE("request server: requests of one id are two requests", "[unit][ipc]") {
    Served t;
    MessageSocket raw = MessageSocket::connect_to(t.directory.path("socket"));
    for (int i = 0; i < 2; ++i)
        raw.send(R"({"version":1,"id":1,"request":"pause"})");
    t.settle();
    REQUIRE(t.handlers.pauses.size() == 2);
    for (const Answer& answer : t.handlers.pauses)
        answer(Json::object());
    CHECK(raw.receive().has_value());
    CHECK(raw.receive().has_value());
}

TEST_CASE("request server: a client that goes takes nothing with it", "[unit][ipc]") {
    Served t;
    {
        Channel other(MessageSocket::connect_to(t.directory.path("socket")));
        other.send_request(Pause{});
        t.settle();
    }
    t.settle();
    CHECK(t.gone.size() == 1);
    t.handlers.pauses.at(0)(Json::object());  // nobody takes it
    CHECK(t.ask(Resize{512}).error_code.empty());
}

TEST_CASE("request server: one that asks without end lets others have their turn", "[unit][ipc]") {
    Served t;
    t.ask(Resize{512});
    Channel other(MessageSocket::connect_to(t.directory.path("socket")));
    for (int i = 0; i < 3 * RequestServer::taken_per_wakeup; ++i)
        t.client.send_request(Pause{});
    other.send_request(Resize{512});
    t.loop.run_once(Nanoseconds{0});
    t.loop.run_once(Nanoseconds{0});
    CHECK(t.handlers.pauses.size() <= 2 * RequestServer::taken_per_wakeup);
    CHECK(t.next(other).error_code.empty());
    t.settle();
    CHECK(t.handlers.pauses.size() == 3 * RequestServer::taken_per_wakeup);
}

TEST_CASE("request server: what a client sends while it is asked is served, whoever asks", "[unit][ipc]") {
    Served t;
    t.ask(Watch{});
    t.client.send_request(Resize{512});
    t.client.reply(1, Json::object());  // to what follows
    CHECK(t.server.ask(t.handlers.watcher, OpenFile{{"/a"}}, "/a").error_code.empty());
    const auto question = t.client.next();
    REQUIRE((question && question->request));
    for (int i = 0; i < 10; ++i)
        t.loop.run_once(std::chrono::milliseconds(2));  // the clock of timers has a tick
    CHECK(t.next(t.client).result.get<DeviceDescription>().size_sectors == 1);
}

TEST_CASE("request server: a client is told what it asked to be told, and one that is gone costs nothing",
          "[unit][ipc]") {
    Served t;
    t.ask(Watch{});
    t.server.tell(t.handlers.watcher, TellProblems{});
    t.server.tell(t.handlers.watcher + 1, TellProblems{});
    t.settle();
    const auto told = t.client.next();
    REQUIRE(told.has_value());
    CHECK(told->request->name == TellProblems::name);
    CHECK_THROWS_AS(t.server.ask(t.handlers.watcher + 1, OpenFile{{"/a"}}, "/a"), std::system_error);
}

}  // namespace blktap::ipc
