// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Local rings whose tapdisk has ended: the next one has the log from its controller, and the program comes back by
// itself, or does not. The guest of the disk is served in either case, and in order.
#include <csignal>
#include <sys/mman.h>

#include "libblktap/base/sealed_memory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/second_peer.hpp"
#include "tests/unit/tapdisk/kept_logs.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using Catch::Contains;
using ring::Status;

namespace {

/// A guest and a program whose tapdisk ended while requests waited for space.
struct Interrupted {
    StubDisk disk{};
    VbdHarness machine{disk.options()};
    KeptLogs kept{7};
    std::optional<SecondPeer> program{};
    GuestBuffer data{};                    ///< the guest's
    GuestBuffer local_data{};              ///< the program's
    std::optional<std::string> resumed{};  ///< "", or the error

    Interrupted() {
        ::signal(SIGPIPE, SIG_IGN);  // as tapdisk does: the program may have closed its pipe
        machine.vbd().give_logs(kept.copies());
        program.emplace(machine, replay::FrontendOptions{.local = true});
        data = machine.pages(1);
        local_data = program->pages(1);
    }
    void fail_next(int error = ENOSPC) {
        machine.settle();
        REQUIRE(disk.count() == 1);
        disk.complete(0, error);
        machine.settle();
    }
    void park_guests(std::uint64_t id, std::uint64_t sector) {
        machine.send(machine.write(id, sector, data));
        fail_next();
    }
    void park_programs(std::uint64_t id, std::uint64_t sector) {
        program->send(machine.write(id, sector, local_data));
        fail_next();
    }
    void end() {
        const bool before = std::exchange(disk.automatic, true);
        REQUIRE_FALSE(machine.shut_down());
        disk.automatic = before;
    }
    void recover() { machine.recover(kept.copies()); }
    void resume() {
        resumed.reset();
        machine.vbd().resume(std::nullopt, nullptr, [this](const std::system_error* error) {
            resumed = error == nullptr ? "" : error->what();
        });
        machine.settle();
    }
    std::uint64_t count(const char* what) {
        return machine.vbd().stats().at("local-rings").at(what).get<std::uint64_t>();
    }
    ipc::Json of_program() { return machine.vbd().stats().at("connections").at(1); }
};

}  // namespace

TEST_CASE("local recovery: a program comes back, and no order is lost between it and the guest", "[unit][tapdisk]") {
    Interrupted t;
    CHECK(t.of_program().at("recoverable") == true);
    const bool guest_first = GENERATE(true, false);
    if (guest_first) t.park_guests(1, 0);
    t.park_programs(2, guest_first ? 64 : 0);
    if (!guest_first) t.park_guests(1, 64);
    // Each overlaps what the other one has sent.
    t.machine.send(t.machine.write(3, guest_first ? 64 : 0, t.data));
    t.program->send(t.machine.write(4, guest_first ? 0 : 64, t.local_data));
    t.machine.settle();
    t.end();
    t.recover();
    CHECK(t.count("awaited") == 1);
    t.resume();
    CHECK_FALSE(t.resumed);
    CHECK(t.machine.vbd().opening());
    CHECK_THROWS_WITH(t.machine.vbd().resume(std::nullopt, nullptr, [](auto) {}), Contains("being opened"));
    t.program->come_back();
    t.machine.settle();
    CHECK(t.resumed == "");
    CHECK(t.of_program().at("adopted") == 2);
    CHECK(t.of_program().at("recoverable") == true);
    REQUIRE(t.disk.waiting() == "WW");
    t.disk.complete_all();
    t.machine.settle();
    CHECK(t.machine.answered(1));
    CHECK(t.program->answer(2) == Status::okay);
    CHECK_FALSE(t.machine.answered(3));
    CHECK_FALSE(t.program->answer(4));
    t.disk.automatic = true;
    t.disk.complete_all();
    t.machine.settle();
    CHECK(t.machine.answered(3));
    CHECK(t.program->answer(4) == Status::okay);
    t.program->send(t.machine.read(5, 0, t.local_data));
    t.machine.settle();
    CHECK(t.program->answer(5) == Status::okay);
    CHECK_FALSE(t.program->disconnect());
    CHECK(t.kept.bytes() == 0);
}

TEST_CASE("local recovery: a program that does not come back holds up nobody for long", "[unit][tapdisk]") {
    Interrupted t;
    t.park_guests(1, 0);
    t.park_programs(2, 64);
    t.end();
    t.recover();
    t.machine.clock().advance(std::chrono::milliseconds(300));
    t.resume();
    t.machine.clock().advance(LocalLogs::patience - std::chrono::milliseconds(301));
    t.machine.settle();
    CHECK_FALSE(t.resumed);
    t.machine.clock().advance(std::chrono::milliseconds(1));
    t.machine.settle();
    CHECK(t.resumed == "");
    CHECK(t.disk.waiting() == "W");
    CHECK(t.count("given-up") == 1);
    CHECK(t.count("lost-requests") == 1);
    CHECK(t.kept.bytes() == 0);
    CHECK_THROWS_WITH(t.program->come_back(), Contains("connects anew"));
    t.disk.automatic = true;
    t.disk.complete_all();
    t.machine.settle();
    CHECK(t.machine.answered(1));
    t.program->connect();
    t.program->send(t.machine.read(3, 0, t.program->pages(1)));
    t.machine.settle();
    CHECK(t.program->answer(3) == Status::okay);
}

TEST_CASE("local recovery: a ring that owes nothing is not waited for, and may come late", "[unit][tapdisk]") {
    Interrupted t;
    t.disk.automatic = true;
    t.end();
    // Nobody has seen it yet.
    t.program->send(t.machine.write(1, 0, t.local_data));
    t.recover();
    t.resume();
    CHECK(t.resumed == "");
    CHECK(t.machine.run(t.machine.write(2, 0, t.data)) == Status::okay);
    const bool paused = GENERATE(false, true);
    if (paused) REQUIRE_FALSE(t.machine.pause());
    t.program->come_back();
    if (paused) t.resume();
    t.machine.settle();
    CHECK(t.program->answer(1) == Status::okay);
    CHECK(t.count("awaited") == 0);
}

TEST_CASE("local recovery: a program that begins anew is served as any other", "[unit][tapdisk]") {
    Interrupted t;
    t.disk.automatic = true;
    t.end();
    t.recover();
    t.resume();
    REQUIRE(t.count("awaited") == 1);
    t.program->connect();
    CHECK(t.count("awaited") == 0);
    CHECK(t.of_program().at("adopted") == 0);
    t.program->send(t.machine.write(1, 0, t.program->pages(1)));
    t.machine.settle();
    CHECK(t.program->answer(1) == Status::okay);
}

TEST_CASE("local recovery: it is too early before \"recover\", and nothing is lost by that", "[unit][tapdisk]") {
    Interrupted t;
    t.park_programs(1, 0);
    t.end();
    t.machine.replace_tapdisk();
    try {
        t.program->come_back();
        FAIL("adopted");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::resource_unavailable_try_again);
    }
    t.recover();
    t.program->come_back();
    t.resume();
    CHECK(t.resumed == "");
    REQUIRE(t.disk.waiting() == "W");
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.program->answer(1) == Status::okay);
}

TEST_CASE("local recovery: other memory stops the ring, and less of it is refused", "[unit][tapdisk]") {
    Interrupted t;
    t.park_guests(1, 0);
    t.park_programs(2, 64);
    t.end();
    t.recover();
    t.resume();
    SECTION("of another program") {
        const SealedMemory other = SealedMemory::create("test", 64 * page_size_bytes);
        ring::FrontRing(other.bytes().first(page_size_bytes), ring::Protocol::native);
        // As if it had been answered.
        other.bytes()[8] = std::byte{77};
        t.program->come_back(UniqueFd{::fcntl(other.fd(), F_DUPFD_CLOEXEC, 0)});
        t.machine.settle();
        CHECK(t.resumed == "");
        CHECK(t.of_program().at("stopped-queues") == 1);
    }
    SECTION("too small for the ring") {
        const SealedMemory small = SealedMemory::create("test", 100);
        CHECK_THROWS_AS(t.program->come_back(UniqueFd{::fcntl(small.fd(), F_DUPFD_CLOEXEC, 0)}), std::system_error);
        CHECK_FALSE(t.resumed);
        t.program->come_back();
        t.machine.settle();
        CHECK(t.resumed == "");
    }
    SECTION("with other arguments") {
        ipc::ConnectArguments arguments = t.program->arguments();
        arguments.queues.front().ring_refs = {3};
        const SealedMemory other = SealedMemory::create("test", 64 * page_size_bytes);
        CHECK_THROWS_WITH(t.machine.vbd().connect(arguments, {}, UniqueFd{::fcntl(other.fd(), F_DUPFD_CLOEXEC, 0)},
                                                  Vbd::Rings::adopted),
                          Contains("not awaited"));
        t.program->come_back();
        t.machine.settle();
        CHECK(t.resumed == "");
    }
    t.disk.automatic = true;
    t.disk.complete_all();
    t.machine.settle();
    CHECK(t.machine.answered(1));
    CHECK(t.machine.run(t.machine.read(3, 0, t.data)) == Status::okay);
}

TEST_CASE("local recovery: while rings are waited for, the disk may end, or its controller, and the log stays",
          "[unit][tapdisk]") {
    Interrupted t;
    t.park_programs(1, 0);
    t.end();
    t.recover();
    t.resume();
    REQUIRE_FALSE(t.resumed);
    const bool ends = GENERATE(true, false);
    if (ends) {
        t.end();
        CHECK_THAT(t.resumed.value(), Contains("opening the image"));
        t.recover();
    } else {
        t.machine.vbd().cancel_opening();
        CHECK_THAT(t.resumed.value(), Contains("opening the image"));
        t.machine.clock().advance(std::chrono::hours(1));  // an operator may let it wait
        t.machine.settle();
    }
    t.program->come_back();
    t.resume();
    CHECK(t.resumed == "");
    t.disk.automatic = true;
    t.disk.complete_all();
    t.machine.settle();
    CHECK(t.program->answer(1) == Status::okay);
}

TEST_CASE("local recovery: a failed flush is known again, whether or not the program comes back", "[unit][tapdisk]") {
    Interrupted t;
    REQUIRE_FALSE(t.machine.disconnect());
    t.program->send(t.machine.flush(1));
    t.fail_next(EIO);
    REQUIRE(t.machine.vbd().stats().at("flush-failed") == true);
    t.end();
    t.machine.replace_tapdisk();
    t.machine.vbd().recover({"stub", "memory", Access::read_write, {}}, nullptr, {.size_sectors = 16 * 1024},
                            t.kept.copies());
    CHECK(t.machine.vbd().stats().at("flush-failed") == true);
}
