// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The control socket: every request through a real socket, its errors, the replies that come later, and clients that
// hang up, send nonsense or are several.
#include "tapdisk/control_server.hpp"

#include <fcntl.h>
#include <optional>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "libblktap/base/version.hpp"
#include "tapdisk/disk/retry_delays.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/controlled_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ipc::Json;
using ring::Status;

TEST_CASE("control: a disk is opened, connected, paused, resumed, disconnected and closed", "[unit][tapdisk]") {
    Controlled t;
    const ipc::Reply opened = t.client.call("open", t.image());
    CHECK(opened.result.at("size-sectors") == 16 * 1024);
    CHECK(opened.result.at("read-only") == false);
    const ipc::Reply connected = t.client.call("connect", t.frontend());
    CHECK(connected.result == opened.result);
    CHECK(t.read(1) == Status::okay);
    CHECK(t.client.error("pause").empty());
    CHECK(t.client.call("stats").result.at("state") == "paused");
    CHECK(t.client.call("resume").result == opened.result);
    CHECK(t.read(2) == Status::okay);
    const Json stats = t.client.call("stats").result;
    CHECK(stats.at("connected") == true);
    CHECK(stats.at("connection").at("requests").at("read").at("requests") == 2);
    CHECK(t.client.error("disconnect").empty());
    CHECK(t.client.error("close").empty());
    CHECK(t.client.call("stats").result.at("state") == "closed");
}

TEST_CASE("control: a tapdisk tells at any time which program it is and how long it runs", "[unit][tapdisk]") {
    Controlled t;
    const auto about = [&] { return t.client.call("about").result.get<ipc::AboutResult>(); };
    CHECK(about() ==
          ipc::AboutResult{version, static_cast<std::uint32_t>(::getpid()), 0, ipc::protocol_version, "off"});
    t.machine.clock().advance(std::chrono::milliseconds(1999));
    t.serve(t.client);
    CHECK(about().running_seconds == 1);
    CHECK(t.client.error("pause").empty());
    t.machine.clock().advance(std::chrono::hours(24 * 365 * 10));
    CHECK(about().running_seconds == 1 + 24 * 365 * 10 * 3600ULL);
    CHECK(t.client.error("about", {{"more", true}}) == "bad-message");
}

TEST_CASE("control: in its sandbox a tapdisk opens no file itself, and says so", "[unit][tapdisk]") {
    Controlled t;
    t.server.reset();
    t.server.emplace(t.machine.loop(), t.machine.vbd(), t.listener, ControlServer::Self{4711, "on"});
    ControlClient client{t.machine, t.path};
    const auto about = client.call("about").result.get<ipc::AboutResult>();
    CHECK(about.pid == 4711);
    CHECK(about.sandbox == "on");
    CHECK(client.error("open", t.image()) == "system:EPERM");
    CHECK_THAT(client.call("open", t.image()).error_message, Catch::Contains("they come from the controller"));
    CHECK(client.call("stats").result.at("state") == "closed");
}

TEST_CASE("control: what fails is told by its code and leaves the state as it was", "[unit][tapdisk]") {
    Controlled t;
    CHECK(t.client.error("connect", t.frontend()) == "wrong-state");
    CHECK(t.client.error("disconnect") == "wrong-state");
    CHECK(t.client.error("pause") == "wrong-state");
    CHECK(t.client.error("resume") == "wrong-state");
    CHECK(t.client.error("close") == "wrong-state");
    CHECK(t.client.error("record", {{"action", "stop"}}) == "wrong-state");
    CHECK(t.client.error("explode") == "unknown-request");
    CHECK(t.client.error("stats", {{"more", true}}) == "bad-message");
    CHECK(t.client.error("open", {{"format", "raw"}}) == "bad-message");
    CHECK(t.client.error("open", {{"format", "raw"}, {"path", "/no/such/file"}}) == "system:ENOENT");
    CHECK(t.client.error("open", {{"format", "tar"}, {"path", "/x"}}) == "system:EINVAL");
    REQUIRE(t.client.error("open", t.image()).empty());
    CHECK(t.client.error("open", t.image()) == "wrong-state");
    Json frontend = t.frontend();
    frontend["queues"][0]["ring-refs"] = {0x7fffffff};
    CHECK(t.client.error("connect", frontend) == "grant-denied");
    CHECK(t.client.error("record", {{"action", "start"}}) == "bad-message");  // without a descriptor
    const Json other{{"image", t.image()}};
    CHECK(t.client.error("resume", other) == "wrong-state");
    REQUIRE(t.client.error("connect", t.frontend()).empty());
    CHECK(t.client.error("resume").empty());  // "look again", when not paused
    CHECK(t.read(1) == Status::okay);
}

TEST_CASE("control: a reply that must wait for I/O comes when it is over, and others pass it", "[unit][tapdisk]") {
    Controlled t;
    t.serve(t.client);
    t.machine.kernel().hold();
    t.machine.send(t.machine.read(1, 0, t.machine.pages(1)));
    t.machine.settle();
    const std::uint64_t pause = t.client.send("pause");
    CHECK(t.client.call("stats").result.at("connection").at("in-flight") == 1);
    CHECK(t.client.error("disconnect") == "wrong-state");  // one at a time
    CHECK_FALSE(t.client.has_reply(pause));
    t.machine.kernel().complete_at_submit();
    t.machine.kernel().complete_all();
    CHECK(t.client.reply(pause).error_code.empty());
}

TEST_CASE("control: a last flush that fails is the error of close, and the disk is closed", "[unit][tapdisk]") {
    Controlled t;
    t.serve(t.client);
    t.machine.kernel().result_error(2, EIO);  // 1 is the flush of the fixture's close
    CHECK(t.client.error("close") == "system:EIO");
    CHECK(t.client.call("stats").result.at("state") == "closed");
}

TEST_CASE("control: resume opens another image, and accepts a loss", "[unit][tapdisk]") {
    Controlled t;
    t.serve(t.client);
    t.machine.kernel().result_error(2, EIO);
    t.machine.send(VbdHarness::flush(1));
    t.machine.settle();
    CHECK(t.client.call("stats").result.at("flush-failed") == true);
    REQUIRE(t.client.error("pause").empty());
    Json image = t.image();
    image["path"] = t.machine.directory().make_file("small", 4096);
    CHECK_FALSE(t.client.error("resume", {{"image", image}}).empty());
    image["path"] = t.machine.directory().make_file("other", 8 << 20);
    REQUIRE(t.client.error("resume", {{"image", image}}).empty());
    CHECK(t.client.call("stats").result.at("image").at("path") == image["path"]);
    t.machine.settle();
    CHECK_FALSE(t.machine.answered(1));
    REQUIRE(t.client.error("resume", {{"accept-loss", true}}).empty());
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
}

TEST_CASE("control: a recovery log that comes with connect is the one that is written", "[unit][tapdisk]") {
    Controlled t;
    REQUIRE(t.client.error("open", t.image()).empty());
    const UniqueFd log{::memfd_create("log", MFD_CLOEXEC)};
    CHECK(t.client.error("connect", t.frontend(), {log.get(), log.get()}) == "bad-message");
    REQUIRE(t.client.error("connect", t.frontend(), {log.get()}).empty());
    t.machine.kernel().hold();
    t.machine.send(t.machine.read(4711, 0, t.machine.pages(1)));
    t.machine.settle();
    const auto size_bytes = static_cast<std::size_t>(::lseek(log.get(), 0, SEEK_END));
    const Mapping bytes = Mapping::shared_file(log.get(), size_bytes);
    const auto contents = read_log(bytes.bytes());
    REQUIRE(contents.has_value());
    REQUIRE(contents.value().unanswered.size() == 1);
    CHECK(contents.value().unanswered[0].request.id == 4711);
}

TEST_CASE("control: recording starts with a descriptor and stop replies when the trace is complete",
          "[unit][tapdisk]") {
    Controlled t;
    t.serve(t.client);
    const UniqueFd file{::memfd_create("trace", MFD_CLOEXEC)};
    REQUIRE(t.client.error("record", {{"action", "start"}}, {file.get()}).empty());
    CHECK(t.client.error("record", {{"action", "start"}}, {file.get()}) == "wrong-state");
    CHECK(t.read(1) == Status::okay);
    const auto header_bytes = ::lseek(file.get(), 0, SEEK_END);
    CHECK(t.client.call("stats").result.at("recording").at("recorded") == 1);
    REQUIRE(t.client.error("record", {{"action", "stop"}}).empty());
    CHECK(::lseek(file.get(), 0, SEEK_END) == header_bytes + static_cast<off_t>(ring::trace_record_fixed_bytes));
}

TEST_CASE("control: nonsense is answered with an error without an id, and the connection goes on", "[unit][tapdisk]") {
    Controlled t;
    for (const char* text : {"x", "{", "[]", "{\"version\": 1}", "{\"version\": 1, \"id\": -1, \"request\": \"stats\"}",
                             "{\"version\": 1, \"id\": 1, \"request\": 5}", "\xff\xfe"}) {
        CAPTURE(text);
        t.client.send_text(text);
        CHECK(t.client.reply(0).error_code == "bad-message");
    }
    t.client.send_text(R"({"version": 2, "id": 1, "request": "stats"})");
    CHECK(t.client.reply(0).error_code == "bad-version");
    t.client.send_text(std::string(ipc::message_size_max_bytes, ' '));
    CHECK(t.client.reply(0).error_code == "bad-message");
    CHECK(t.client.error("stats").empty());
}

TEST_CASE("control: several clients are served, and one that goes takes nothing with it", "[unit][tapdisk]") {
    Controlled t;
    {
        ControlClient other{t.machine, t.path};
        t.serve(other);
        CHECK(t.client.call("stats").result.at("connected") == true);
        t.machine.kernel().hold();
        t.machine.send(t.machine.read(1, 0, t.machine.pages(1)));
        t.machine.settle();
        other.send("pause");  // nobody will take the reply
        t.machine.settle();
    }
    t.machine.settle();
    t.machine.kernel().complete_at_submit();
    t.machine.kernel().complete_all();
    t.machine.settle();
    CHECK(t.client.call("stats").result.at("state") == "paused");
    CHECK(t.client.call("stats").result.at("connected") == true);
}

TEST_CASE("control: requests sent at once are answered one after another", "[unit][tapdisk]") {
    Controlled t;
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 50; ++i)
        ids.push_back(t.client.send("stats"));
    for (const std::uint64_t id : ids)
        CHECK(t.client.reply(id).error_code.empty());
}

TEST_CASE("control: the frontend of a client that is its own controller goes with it", "[unit][tapdisk]") {
    Controlled t;
    std::optional<ControlClient> guest{std::in_place, t.machine, t.path};
    REQUIRE(guest->error("open", t.image()).empty());
    REQUIRE(guest->error("connect", t.frontend("connection")).empty());
    CHECK(t.read(1) == Status::okay);

    SECTION("when nothing else happens") {
        guest.reset();
        t.machine.run_until([&] { return !t.machine.vbd().connected(); });
    }
    SECTION("with requests in the kernel") {
        t.machine.kernel().hold();
        t.machine.send(t.machine.read(2, 0, t.machine.pages(1)));
        t.machine.settle();
        guest.reset();
        t.machine.settle();
        CHECK(t.machine.vbd().connected());
        t.machine.kernel().complete_all();
        t.machine.settle();
        CHECK_FALSE(t.machine.vbd().connected());
    }
    SECTION("while a pause is under way") {
        t.machine.kernel().hold();
        t.machine.send(t.machine.read(2, 0, t.machine.pages(1)));
        t.machine.settle();
        t.client.send("pause");
        t.machine.settle();
        guest.reset();
        t.machine.settle();
        t.machine.kernel().complete_at_submit();
        t.machine.kernel().complete_all();
        t.machine.settle();
        CHECK_FALSE(t.machine.vbd().connected());
    }
    CHECK(t.machine.world().pages_mapped_by(0) == 0);
}

TEST_CASE("control: a disconnect by another client ends a guest's claim on the connection", "[unit][tapdisk]") {
    Controlled t;
    std::optional<ControlClient> guest{std::in_place, t.machine, t.path};
    REQUIRE(guest->error("open", t.image()).empty());
    REQUIRE(guest->error("connect", t.frontend("connection")).empty());
    REQUIRE(t.client.error("disconnect").empty());
    t.machine.make_frontend({});
    REQUIRE(t.client.error("connect", t.frontend()).empty());
    guest.reset();
    t.machine.settle();
    CHECK(t.machine.vbd().connected());
    CHECK(t.read(1) == Status::okay);
}

TEST_CASE("control: a resize is answered with the new description, and refused with the reason", "[unit][tapdisk]") {
    Controlled t;
    CHECK(t.client.error("resize", {{"size", 32 << 20}}) == "wrong-state");
    t.serve(t.client);
    CHECK(t.client.call("resize", {{"size", 32 << 20}}).result.at("size-sectors") == 64 * 1024);
    const ipc::Reply smaller = t.client.call("resize", {{"size", 1 << 20}});
    CHECK(smaller.error_code == "system:EINVAL");
    CHECK_THAT(smaller.error_message, Catch::Contains("smaller"));
    CHECK(t.machine.run(t.machine.read(1, 60 * 1024, t.machine.pages(1))) == Status::okay);
}

TEST_CASE("control: who watches is told of a problem when it begins and when it is over, others are not",
          "[unit][tapdisk]") {
    Controlled t;
    ControlClient watcher{t.machine, t.path};
    t.serve(t.client);
    CHECK(watcher.call("watch").result == Json({{"problems", Json::array()}}));
    t.machine.kernel().set_chances({.write_enospc = 1000});
    t.machine.send(t.machine.write(1, 0, t.machine.pages(1)));
    const auto next = [&] {
        std::optional<ipc::Message> message;
        t.machine.run_until([&] { return (message = watcher.socket().receive()).has_value(); });
        return ipc::parse_message(std::move(*message)).request.value();
    };
    const ipc::Request began = next();
    CHECK(began.name == "problems");
    const auto problems = began.arguments.get<ipc::Problems>().problems;
    REQUIRE(problems.size() == 1);
    CHECK(problems.front().name == "no-space");
    CHECK(t.client.call("stats").result.at("problems").size() == 1);
    t.machine.kernel().set_chances({});
    CHECK(t.client.error("resume").empty());
    t.machine.run_until([&] { return t.machine.answered(1); });
    t.machine.settle();
    CHECK_FALSE(watcher.socket().receive().has_value());
    t.machine.clock().advance(problem_quiet);
    CHECK(next().arguments.get<ipc::Problems>().problems.empty());
    CHECK_FALSE(t.client.socket().receive().has_value());
    CHECK(t.machine.answer(1) == Status::okay);
}

TEST_CASE("control: a client that asks without end does not keep the others waiting", "[unit][tapdisk]") {
    Controlled t;
    ControlClient noisy{t.machine, t.path};
    ControlClient other{t.machine, t.path};
    constexpr int asked = 40;
    for (int i = 0; i < asked; ++i)
        noisy.send("stats");
    const std::uint64_t stats = other.send("stats");
    const auto count = [](ControlClient& client) {
        int received = 0;
        while (client.socket().receive())
            ++received;
        return received;
    };
    int answered = 0;
    int rounds = 0;
    for (; !other.has_reply(stats) && rounds < 10; ++rounds)
        t.machine.loop().run_once(Nanoseconds{0});
    CHECK(rounds <= 2);  // it was accepted, and heard
    answered = count(noisy);
    CHECK(answered > 0);
    CHECK(answered <= 2 * 16);
    t.machine.run_until([&] { return (answered += count(noisy)) >= asked; });
    CHECK(answered == asked);
}
