// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Local rings: a program on this host is served like a guest, from memory that it shares, and is trusted as little.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tapdisk/ring/local_transport.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/second_peer.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapdisk/controlled_disk.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using Catch::Matchers::Contains;
using ring::Status;

namespace {

replay::FrontendOptions local(unsigned queues = 1) {
    return {.queue_count = queues, .local = true};
}

/// What was sent is answered at once.
Status run(VbdHarness& machine, SecondPeer& peer, const ring::RawRequest& request, unsigned queue = 0) {
    peer.send(request, queue);
    machine.run_until([&] { return peer.answer(request.id).has_value(); });
    return *peer.answer(request.id);
}

/// "connect" with local rings of one page each, at these pages.
ipc::ConnectArguments rings_at(const std::vector<std::vector<std::uint32_t>>& pages) {
    ipc::ConnectArguments arguments;
    arguments.local = true;
    arguments.connection = "second";
    for (const auto& refs : pages)
        arguments.queues.push_back({refs, 0});
    return arguments;
}

SealedMemory memory_of(std::size_t pages) {
    return SealedMemory::create("test", pages * page_size_bytes);
}

UniqueFd duplicate(const SealedMemory& memory) {
    return UniqueFd{::fcntl(memory.fd(), F_DUPFD_CLOEXEC, 0)};
}

}  // namespace

TEST_CASE("local ring: data arrives in its place, in the image and back, whatever the cut", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer peer{machine, local(2)};
    std::uint64_t id = 0;
    for (const std::size_t count : {1u, 11u, 12u, 256u}) {
        GuestBuffer out = peer.pages(count);
        out.segments.front().first_sector = 3;
        out.segments.back().last_sector = 4;
        out.fill(100, count);
        REQUIRE(run(machine, peer, machine.write(++id, 100, out), count % 2) == Status::okay);
        CHECK(machine.image_bytes(out.at(100)) == out.get());
        GuestBuffer in = peer.pages(count);
        in.segments.front().first_sector = 3;
        in.segments.back().last_sector = 4;
        REQUIRE(run(machine, peer, machine.read(++id, 100, in)) == Status::okay);
        CHECK(in.get() == out.get());
    }
}

TEST_CASE("local ring: the driver reaches the program's memory itself, or copies where it must not",
          "[unit][tapdisk]") {
    StubDisk disk;
    disk.info.zero_copy_safe = GENERATE(true, false);
    VbdHarness machine{disk.options()};
    SecondPeer peer{machine, local()};
    const GuestBuffer data = peer.pages(2);
    peer.send(machine.read(1, 0, data));
    peer.send(machine.write(2, 64, data));
    machine.settle();
    REQUIRE(disk.count() == 2);
    disk.complete_all();
    machine.settle();
    CHECK(peer.answer(1) == Status::okay);
    CHECK(peer.answer(2) == Status::okay);
    const ipc::Json stats = machine.vbd().stats().at("connections").at(1);
    CHECK(stats.at("local") == true);
    CHECK(stats.at("grant-copies").at("pieces") == (disk.info.zero_copy_safe ? 0 : 4));
    CHECK(machine.world().pages_mapped_by(0) == 1);  // the guest's ring
}

TEST_CASE("local ring: pages that the memory does not have are an error, of the request alone", "[unit][tapdisk]") {
    StubDisk disk;
    disk.automatic = true;
    disk.info.zero_copy_safe = GENERATE(true, false);
    VbdHarness machine{disk.options()};
    SecondPeer peer{machine, local()};
    GuestBuffer bad = peer.pages(2);
    const std::uint32_t page = GENERATE(0x40000u, 0xffffffffu);
    bad.segments.back().gref = page;
    CHECK(run(machine, peer, machine.write(1, 0, bad)) == Status::error);
    CHECK(run(machine, peer, machine.read(2, 0, bad)) == Status::error);
    bad = peer.pages(1);
    bad.descriptors_ref = page;
    CHECK(run(machine, peer, machine.indirect(ring::Operation::read, 3, 0, bad)) == Status::error);
    CHECK(run(machine, peer, machine.read(4, 0, peer.pages(1))) == Status::okay);
}

TEST_CASE("local ring: a ring that lies stops, and the guest is served on", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer peer{machine, local()};
    peer.frontend().ring(0).force_request_producer(12345);
    peer.frontend().notify(0);
    machine.settle();
    CHECK(machine.vbd().stats().at("connections").at(1).at("stopped-queues") == 1);
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
    CHECK_FALSE(peer.disconnect());
}

TEST_CASE("local ring: a program that reads no wake-ups does not make the disk wait", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer peer{machine, local()};
    const GuestBuffer data = peer.pages(1);
    for (std::uint64_t id = 1; id <= 2 * page_size_bytes; ++id) {  // its pipe holds a page of wake-ups
        (void)peer.frontend().rearm();
        peer.send(machine.read(id, 0, data));
        machine.settle();
        REQUIRE(peer.answer(id).has_value());
    }
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
}

TEST_CASE("local ring: memory that could be cut, or that its rings do not lie in, is refused", "[unit][tapdisk]") {
    VbdHarness machine;
    const auto refusal = [&](const ipc::ConnectArguments& arguments, UniqueFd memory) {
        return std::string(thrown([&] { machine.vbd().connect(arguments, {}, std::move(memory)); }).what());
    };
    UniqueFd unsealed{::memfd_create("test", MFD_ALLOW_SEALING)};
    REQUIRE(::ftruncate(unsealed.get(), page_size_bytes) == 0);
    CHECK_THAT(refusal(rings_at({{0}}), std::move(unsealed)), Contains("not sealed against shrinking"));
    CHECK_THAT(refusal(rings_at({{0}}), {}), Contains("not a memfd"));

    const SealedMemory memory = memory_of(4);
    CHECK_THAT(refusal(rings_at({{4}}), duplicate(memory)), Contains("page 4 of the shared memory"));
    CHECK_THAT(refusal(rings_at({{0xffffffff}}), duplicate(memory)), Contains("page 4294967295"));
    CHECK_THAT(refusal(rings_at({{0, 1}, {3, 2}}), duplicate(memory)), Contains("queue 1: page 2"));
    CHECK_THAT(refusal(rings_at({{3, 4}}), duplicate(memory)), Contains("page 4"));
    CHECK(machine.vbd().stats().at("connections").size() == 1);
    CHECK(machine.vbd().connect(rings_at({{0, 1}, {2, 3}}), {}, duplicate(memory)).size() == 3);
}

TEST_CASE("local ring: a controller connects one beside the guest, until it hangs up", "[unit][tapdisk]") {
    Controlled t;
    t.serve(t.client);
    replay::Frontend frontend{local(2)};
    {
        ControlClient other{t.machine, t.path};
        ipc::ConnectArguments arguments = frontend.connect_arguments();
        arguments.connection = "second";
        arguments.until_hangup = true;
        ipc::Reply reply = other.call("connect", arguments, frontend.connect_descriptors());
        REQUIRE(reply.error_code.empty());
        REQUIRE(reply.descriptors.size() == 3);
        frontend.connected(std::move(reply.descriptors));
        frontend.ring(1).put_request(VbdHarness::flush(7));
        frontend.publish(1);
        t.machine.run_until([&] { return frontend.ring(1).response_waiting(); });
        CHECK(frontend.take(1).value()->status == Status::okay);

        for (const char* request : {"pause", "close", "stats", "files", "abandon"})
            CHECK(other.error(request) == "system:EPERM");
        CHECK(other.error("connect", frontend.connect_arguments()) == "system:EPERM");
        CHECK(other.error("disconnect") == "system:EPERM");  // the guest
        CHECK(other.error("watch").empty());
    }
    {
        ControlClient other{t.machine, t.path};
        CHECK(other.error("connect", rings_at({{0}}), {}) == "bad-message");
        CHECK(other.error("abandon", rings_at({{0}}), {}) == "bad-message");
        const UniqueFd log = make_anonymous_log_file();
        const SealedMemory memory = memory_of(1);
        CHECK(other.error("connect", rings_at({{0}}), {memory.fd(), log.get()}) == "bad-message");
        ipc::ConnectArguments many = rings_at({{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}});
        CHECK_THAT(other.call("connect", many, frontend.connect_descriptors()).error_message,
                   Contains("at most 7 of local rings"));
    }
    t.machine.run_until([&] { return t.machine.vbd().stats().at("connections").size() == 1; });
    CHECK(t.read(1) == Status::okay);
}

TEST_CASE("local ring: a program that has one may send no descriptor, and end nothing but its own", "[unit][tapdisk]") {
    Controlled t;
    t.serve(t.client);
    replay::Frontend frontend{local()};
    ControlClient other{t.machine, t.path};
    ipc::Json arguments = frontend.connect_arguments();
    arguments["connection"] = "second";
    arguments["lifetime"] = "connection";
    REQUIRE(other.error("connect", arguments, frontend.connect_descriptors()).empty());
    other.send("watch", ipc::Json::object(), frontend.connect_descriptors());
    CHECK(other.reply(0).error_code == "bad-message");
    CHECK(other.error("disconnect", {{"connection", "third"}}) == "system:EPERM");
    CHECK(other.error("disconnect", {{"connection", "second"}}).empty());
    CHECK(t.read(1) == Status::okay);
}

TEST_CASE("connections: the guest is connected or not, whoever else is", "[unit][tapdisk]") {
    VbdHarness machine;
    SecondPeer peer{machine, local()};
    CHECK(machine.vbd().stats().at("connected") == true);
    REQUIRE_FALSE(machine.disconnect());
    CHECK(machine.vbd().stats().at("connected") == false);
    CHECK_FALSE(machine.vbd().stats().contains("connection"));
    machine.make_frontend({});
    machine.connect();
    CHECK(machine.vbd().stats().at("connected") == true);
    CHECK(machine.vbd().stats().at("connection").at("name") == "");
}

TEST_CASE("connections: there are only so many, and what all of them tell of fits into a message", "[unit][tapdisk]") {
    VbdHarness machine;
    const SealedMemory memory = memory_of(1);
    for (std::size_t count = 1; count < Vbd::connections_max; ++count) {
        ipc::ConnectArguments arguments = rings_at({{0}});
        arguments.connection = std::string(64, 'n') + std::to_string(count);
        machine.vbd().connect(arguments, {}, duplicate(memory));
    }
    const std::system_error refused = thrown([&] { machine.vbd().connect(rings_at({{0}}), {}, duplicate(memory)); });
    CHECK(refused.code() == Errc::wrong_state);
    CHECK(machine.vbd().stats().dump().size() < ipc::message_size_max_bytes);
}

TEST_CASE("connections: those that hang up together all end, and none in the place of another", "[unit][tapdisk]") {
    VbdHarness machine;
    const SealedMemory memory = memory_of(1);
    const auto connect = [&](const char* name) {
        ipc::ConnectArguments arguments = rings_at({{0}});
        arguments.connection = name;
        machine.vbd().connect(arguments, {}, duplicate(memory));
    };
    connect("a");
    connect("b");
    std::optional<std::error_code> ended;
    machine.vbd().disconnect("a", ipc::RingsLeft::untouched, [&](std::error_code error) {
        ended = error;
        connect("c");
    });
    for (const char* name : {"a", "b", "a"})
        machine.vbd().hang_up(name);
    machine.run_until([&] { return ended.has_value(); });
    machine.settle();
    const ipc::Json connections = machine.vbd().stats().at("connections");
    REQUIRE(connections.size() == 2);
    CHECK(connections.at(0).at("name") == "");
    CHECK(connections.at(1).at("name") == "c");
    CHECK_FALSE(machine.disconnect());
    machine.settle();
    CHECK(machine.vbd().stats().at("connections").size() == 1);
}
