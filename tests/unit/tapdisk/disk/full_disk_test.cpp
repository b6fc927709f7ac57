// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A full file system makes the guest wait and never fail: a request without space is parked, keeps no memory, stays in
// the recovery log, and is retried until there is space or the frontend leaves.

#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Operation;
using ring::Status;

namespace {

const std::error_code no_space{ENOSPC, std::system_category()};

/// A disk on which write 1 has found no space.
struct FullDisk {
    explicit FullDisk(std::error_code error = no_space) {
        data.fill(64, 1);
        machine.send(machine.write(1, 64, data));
        machine.settle();
        REQUIRE(disk.waiting() == "W");
        disk.complete(0, error);
        machine.settle();
    }
    void pause_and_resume() {
        disk.automatic = true;  // the flush of the pause
        REQUIRE_FALSE(machine.pause());
        disk.automatic = false;
        machine.resume();
    }

    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer data = machine.pages(2);
};

}  // namespace

TEST_CASE("full disk: a write without space is not answered, and is in the recovery log", "[unit][tapdisk]") {
    FullDisk t{{GENERATE(ENOSPC, EDQUOT), std::system_category()}};
    CHECK_FALSE(t.machine.answered(1));
    CHECK(t.machine.counter("/parked") == 1);
    CHECK(t.machine.logged_ids() == std::vector<std::uint64_t>{1});
}

TEST_CASE("full disk: every operation that needs space waits for it", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    disk.automatic = true;
    disk.answer = no_space;
    SECTION("write") {
        machine.send(machine.write(1, 0, data));
    }
    SECTION("indirect write") {
        machine.send(machine.write(1, 0, machine.pages(100)));
    }
    SECTION("barrier") {
        machine.send(machine.barrier(1, 0, data));
    }
    SECTION("discard") {
        machine.send(VbdHarness::discard(1, {0, 8}));
    }
    SECTION("flush") {
        machine.send(VbdHarness::flush(1));
    }
    machine.settle();
    CHECK_FALSE(machine.answered(1));
    CHECK(machine.counter("/parked") == 1);
    disk.answer = {};
    machine.vbd().retry();
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    CHECK(machine.vbd().stats().at("flush-failed") == false);
}

TEST_CASE("full disk: parked writes hold no memory: more of them than fit the pool leave it free", "[unit][tapdisk]") {
    StubDisk disk;
    disk.automatic = true;
    disk.answer = no_space;
    disk.info.size_sectors = 64 * 1024;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(ring::segments_indirect_max);
    for (std::uint64_t id = 1; id <= 24; ++id)
        machine.put(machine.write(id, id * 2048, data));
    machine.publish();
    machine.settle();
    CHECK(machine.counter("/parked") == 24);
    disk.answer = {};
    CHECK(machine.run(machine.read(100, 0, data)) == Status::okay);
    machine.vbd().retry();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("full disk: reads and writes to other places go on", "[unit][tapdisk]") {
    FullDisk t;
    t.disk.automatic = true;
    CHECK(t.machine.run(t.machine.read(2, 64, t.machine.pages(2))) == Status::okay);
    CHECK(t.machine.run(t.machine.write(3, 1024, t.data)) == Status::okay);
    CHECK(t.machine.run(VbdHarness::flush(4)) == Status::okay);
    CHECK_FALSE(t.machine.answered(1));
}

TEST_CASE("full disk: a pause whose flush finds no space loses nothing, and no later flush is held",
          "[unit][tapdisk]") {
    FullDisk t;
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    t.disk.complete(0, no_space);
    t.machine.settle();
    t.disk.automatic = true;
    t.disk.answer = no_space;
    CHECK(t.machine.pause() == no_space);
    CHECK(t.machine.vbd().stats().at("flush-failed") == false);
    t.disk.answer = {};
    t.machine.resume();
    t.machine.settle();
    t.machine.vbd().retry();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.answer(2) == Status::okay);
    CHECK(t.machine.run(VbdHarness::flush(3)) == Status::okay);
}

TEST_CASE("full disk: what waits when a flush fails is refused like what comes later", "[unit][tapdisk]") {
    FullDisk t;
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "F");
    t.disk.complete(0, {EIO, std::system_category()});
    t.machine.settle();
    t.disk.automatic = true;
    t.machine.vbd().retry();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    CHECK_FALSE(t.machine.answered(2));
}

TEST_CASE("full disk: a flush that waited for space and then fails is held, and waits for nothing", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    disk.automatic = true;
    disk.answer = no_space;
    machine.send(VbdHarness::flush(1));
    machine.settle();
    CHECK(machine.counter("/waiting/no-space") == 1);
    disk.answer = {EIO, std::system_category()};
    machine.vbd().retry();
    machine.settle();
    CHECK_FALSE(machine.answered(1));
    CHECK(machine.counter("/held-flushes") == 1);
    CHECK(machine.counter("/waiting/no-space") == 0);
}

TEST_CASE("full disk: a retry carries the data that the guest wrote", "[unit][tapdisk]") {
    FullDisk t;
    t.disk.automatic = true;
    SECTION("on request") {
        t.machine.vbd().retry();
    }
    SECTION("after the first delay") {
        t.machine.clock().advance(100ms);
    }
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.disk.bytes(t.data.at(64)) == t.data.get());
}

TEST_CASE("full disk: the delay doubles up to five seconds and begins anew once there was space", "[unit][tapdisk]") {
    FullDisk t;
    for (const auto delay : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5000ms, 5000ms}) {
        t.machine.clock().advance(delay - 1ms);
        t.machine.settle();
        REQUIRE(t.disk.count() == 0);
        t.machine.clock().advance(1ms);
        t.machine.settle();
        REQUIRE(t.disk.waiting() == "W");
        t.disk.complete(0, no_space);
        t.machine.settle();
    }
    t.machine.vbd().retry();
    t.machine.settle();
    t.disk.complete(0);
    t.machine.settle();
    REQUIRE(t.machine.answer(1) == Status::okay);
    t.machine.clock().advance(10s);  // what was armed is over
    t.machine.settle();

    t.machine.send(t.machine.write(2, 64, t.data));
    t.machine.settle();
    t.disk.complete(0, no_space);
    t.machine.settle();
    t.machine.clock().advance(100ms);
    t.machine.settle();
    CHECK(t.disk.waiting() == "W");
}

TEST_CASE("full disk: a write that is parked again and again is answered once", "[unit][tapdisk]") {
    FullDisk t;
    for (int round = 0; round < 10; ++round) {
        t.machine.vbd().retry();
        t.machine.settle();
        REQUIRE(t.disk.waiting() == "W");
        t.disk.complete(0, round < 9 ? no_space : std::error_code{});
        t.machine.settle();
    }
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.counter("/waited/parked") == 10);
}

TEST_CASE("full disk: pause keeps what is parked, resume tries it on the new image", "[unit][tapdisk]") {
    FullDisk t;
    t.disk.automatic = true;
    t.disk.answer = {};
    REQUIRE_FALSE(t.machine.pause());
    CHECK(t.disk.images_open == 0);
    t.machine.clock().advance(1s);  // a retry while paused changes nothing
    t.machine.settle();
    CHECK_FALSE(t.machine.answered(1));
    CHECK(t.machine.logged_ids() == std::vector<std::uint64_t>{1});

    const std::string other = t.machine.directory().make_file("other", 16 << 20);
    t.machine.resume(parse_image_spec("raw:" + other + "?buffered=yes", Access::read_write),
                     std::make_unique<LocalImageOpener>());
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    const UniqueFd file{::open(other.c_str(), O_RDONLY | O_CLOEXEC)};
    std::vector<std::byte> bytes(2 * page_size_bytes);
    REQUIRE(::pread(file.get(), bytes.data(), bytes.size(), 64 * 512) == static_cast<ssize_t>(bytes.size()));
    CHECK(bytes == t.data.get());
}

TEST_CASE("full disk: disconnecting answers what is parked with an error", "[unit][tapdisk]") {
    FullDisk t;
    t.disk.automatic = true;
    SECTION("while open") {}
    SECTION("while paused") {
        REQUIRE_FALSE(t.machine.pause());
    }
    REQUIRE_FALSE(t.machine.disconnect());
    t.machine.round();
    CHECK(t.machine.answer(1) == Status::error);
}

TEST_CASE("full disk: a write that finds no space while disconnecting is an error", "[unit][tapdisk]") {
    FullDisk t;
    t.machine.vbd().retry();
    t.machine.settle();
    bool done = false;
    t.machine.vbd().disconnect("", ipc::RingsLeft::untouched, [&done](std::error_code) { done = true; });
    t.machine.settle();
    CHECK_FALSE(done);
    t.disk.complete(0, no_space);
    t.machine.settle();
    CHECK(done);
    t.machine.round();
    CHECK(t.machine.answer(1) == Status::error);
}

TEST_CASE("full disk: shutting down leaves what is parked unanswered in the recovery log", "[unit][tapdisk]") {
    FullDisk t;
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    t.disk.complete(0);
    t.machine.settle();
    REQUIRE(t.machine.answer(2) == Status::okay);
    t.disk.automatic = true;
    CHECK_FALSE(t.machine.shut_down());
    t.machine.round();
    CHECK_FALSE(t.machine.answered(1));
    CHECK(t.machine.logged_ids() == std::vector<std::uint64_t>{1});
    CHECK(t.machine.vbd().state() == Vbd::State::closed);
}

TEST_CASE("full disk: a retry that falls due during the last flush of a shutdown does not disturb it",
          "[unit][tapdisk]") {
    FullDisk t;
    bool done = false;
    t.machine.vbd().shut_down([&done](std::error_code) { done = true; });
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "F");
    t.machine.clock().advance(1s);
    t.machine.settle();
    t.disk.complete(0);
    t.machine.settle();
    CHECK(done);
    CHECK(t.machine.logged_ids() == std::vector<std::uint64_t>{1});
}

TEST_CASE("full disk: a read and a discard that overlap a parked discard wait for it", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer data = machine.pages(1);
    machine.send(VbdHarness::discard(1, {0, 64}));
    machine.settle();
    disk.complete(0, no_space);
    machine.put(machine.read(2, 8, data));
    machine.put(VbdHarness::discard(3, {32, 64}));
    machine.put(machine.read(4, 96, data));
    machine.publish();
    machine.settle();
    CHECK(disk.waiting() == "R");  // beside them
    machine.vbd().retry();
    machine.settle();
    CHECK(disk.waiting() == "DR");
    disk.automatic = true;
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("full disk: through the real driver, a write that the kernel refuses with ENOSPC succeeds later",
          "[unit][tapdisk]") {
    VbdHarness machine;
    GuestBuffer data = machine.pages(GENERATE(1u, 64u));
    data.fill(128, 1);
    machine.kernel().result_error(1, ENOSPC);
    machine.send(machine.write(1, 128, data));
    machine.settle();
    CHECK_FALSE(machine.answered(1));
    machine.vbd().retry();
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    CHECK(machine.image_bytes(data.at(128)) == data.get());
}

TEST_CASE("full disk: later writes to the same place wait for the parked one and come after it", "[unit][tapdisk]") {
    FullDisk t;
    GuestBuffer newer = t.machine.pages(2);
    newer.fill(64, 2);
    t.machine.send(t.machine.write(2, 64, newer));
    t.machine.send(t.machine.read(3, 72, t.machine.pages(1)));
    t.machine.send(t.machine.write(4, 80, t.machine.pages(1)));
    t.machine.settle();
    CHECK(t.disk.waiting() == "RW");  // a read of the same place, and a write beside it
    t.disk.complete_all();
    SECTION("when it is tried again") {
        t.machine.vbd().retry();
    }
    SECTION("on another image") {
        t.pause_and_resume();
    }
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "W");
    t.disk.complete(0);
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "W");
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.machine.unanswered() == 0);
    CHECK(t.disk.bytes(newer.at(64)) == newer.get());
}

TEST_CASE("full disk: what comes behind a write that waits for a parked one does not overtake it after a pause",
          "[unit][tapdisk]") {
    FullDisk t;
    std::vector<GuestBuffer> data;
    for (std::uint64_t id = 2; id <= 5; ++id) {
        data.push_back(t.machine.pages(2));
        data.back().fill(64, id);
        t.machine.send(t.machine.write(id, 64, data.back()));
    }
    t.machine.settle();
    REQUIRE(t.disk.count() == 0);
    t.pause_and_resume();
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "W");
    CHECK(t.disk.data(0).front().iov_len > 0);
    t.disk.complete(0);
    CHECK(t.disk.bytes(t.data.at(64)) == t.data.get());  // the oldest was the first
    t.machine.settle();
    t.disk.automatic = true;
    t.disk.complete_all();
    t.machine.settle();
    CHECK(t.machine.unanswered() == 0);
}
