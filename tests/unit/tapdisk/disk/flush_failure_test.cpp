// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A failed flush never becomes a success: not the flush itself, not flushes beside and after it, not by a pause, a
// reconnection or a barrier. It gets no answer, since a Linux frontend takes an error for "no flush needed".

#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;
using ring::Status;

namespace {

/// A disk whose flush 1 has failed.
struct FailedDisk {
    FailedDisk() {
        machine.send(VbdHarness::flush(1));
        machine.settle();
        REQUIRE(disk.waiting() == "F");
        disk.complete(0, EIO);
        machine.settle();
        disk.automatic = true;
    }
    void pause_and_resume() {
        REQUIRE_FALSE(machine.pause());
        machine.resume();
        machine.settle();
    }
    Status barrier(std::uint64_t id) { return machine.run(machine.barrier(id, 0, data)); }

    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer data = machine.pages(1);
};

}  // namespace

TEST_CASE("failed flush: is not answered, and neither are later ones", "[unit][tapdisk]") {
    FailedDisk t;
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    CHECK(t.machine.unanswered_ids() == std::vector<std::uint64_t>{1, 2});
    CHECK(t.machine.counter("/held-flushes") == 2);
    CHECK(t.machine.logged_ids() == std::vector<std::uint64_t>{1, 2});
    CHECK(t.machine.vbd().stats().at("flush-failed") == true);
}

TEST_CASE("failed flush: from then on changes are refused and reads served", "[unit][tapdisk]") {
    FailedDisk t;
    CHECK(t.machine.run(t.machine.write(2, 0, t.data)) == Status::error);
    CHECK(t.machine.run(t.machine.write(3, 0, t.machine.pages(20))) == Status::error);
    CHECK(t.machine.run(VbdHarness::discard(4, {0, 8})) == Status::error);
    CHECK(t.barrier(5) == Status::error);
    CHECK(t.machine.run(t.machine.transfer(Operation::flush_diskcache, 6, 0, t.data)) == Status::error);
    CHECK(t.machine.run(t.machine.read(7, 0, t.data)) == Status::okay);
}

TEST_CASE("failed flush: reopening the image admits writes, and the flush stays held", "[unit][tapdisk]") {
    FailedDisk t;
    t.pause_and_resume();
    CHECK(t.machine.run(t.machine.write(2, 0, t.data)) == Status::okay);
    t.machine.send(VbdHarness::flush(3));
    t.machine.settle();
    CHECK(t.machine.unanswered_ids() == std::vector<std::uint64_t>{1, 3});
}

TEST_CASE("failed flush: a barrier after the image was reopened does not say that all is durable", "[unit][tapdisk]") {
    FailedDisk t;
    t.pause_and_resume();
    CHECK(t.barrier(2) == Status::error);
    CHECK(t.machine.run(t.machine.transfer(Operation::flush_diskcache, 3, 0, t.data)) == Status::error);
    t.machine.vbd().accept_loss();
    t.machine.settle();
    CHECK(t.barrier(4) == Status::okay);
}

TEST_CASE("failed flush: accepting the loss answers what was held with an error, later flushes are served",
          "[unit][tapdisk]") {
    FailedDisk t;
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    t.pause_and_resume();
    t.machine.vbd().accept_loss();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    CHECK(t.machine.answer(2) == Status::error);
    CHECK(t.machine.run(VbdHarness::flush(3)) == Status::okay);
    CHECK(t.machine.vbd().stats().at("flush-failed") == false);
}

TEST_CASE("failed flush: accepting the loss answers with an error what is under way, or was not held yet",
          "[unit][tapdisk]") {
    FailedDisk t;
    SECTION("under way beside the one that failed") {
        t.machine.vbd().accept_loss();
        t.machine.settle();
        t.disk.automatic = false;
        t.machine.send(VbdHarness::flush(2));
        t.machine.send(VbdHarness::flush(3));
        t.machine.settle();
        REQUIRE(t.disk.waiting() == "FF");
        t.disk.complete(0, EIO);
        t.machine.settle();
        t.machine.vbd().accept_loss();
        t.disk.automatic = true;
        t.disk.complete(0);
        t.machine.settle();
        CHECK(t.machine.answer(2) == Status::error);
        CHECK(t.machine.answer(3) == Status::error);
    }
    SECTION("by a successor that has just opened the image") {
        REQUIRE_FALSE(t.machine.shut_down());
        t.machine.recover();
        t.machine.resume();
        t.machine.vbd().accept_loss();
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::error);
    }
    CHECK(t.machine.run(VbdHarness::flush(4)) == Status::okay);
}

TEST_CASE("failed flush: accepting the loss while paused is enough", "[unit][tapdisk]") {
    FailedDisk t;
    REQUIRE_FALSE(t.machine.pause());
    t.machine.vbd().accept_loss();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    t.machine.resume();
    CHECK(t.machine.run(VbdHarness::flush(2)) == Status::okay);
}

TEST_CASE("failed flush: accepting the loss admits no writes, which the problem says", "[unit][tapdisk]") {
    FailedDisk t;
    const auto problems = [&] {
        t.machine.clock().advance(std::chrono::hours(1));
        t.machine.settle();
        return t.machine.vbd().problems().problems.size();
    };
    t.machine.vbd().accept_loss();
    t.machine.vbd().retry();
    CHECK(t.machine.run(t.machine.write(2, 0, t.data)) == Status::error);
    CHECK(problems() == 1);
    t.pause_and_resume();
    CHECK(t.machine.run(t.machine.write(3, 0, t.data)) == Status::okay);
    CHECK(problems() == 0);
}

TEST_CASE("failed flush: disconnecting answers what is held with an error", "[unit][tapdisk]") {
    FailedDisk t;
    REQUIRE_FALSE(t.machine.disconnect());
    t.machine.round();
    CHECK(t.machine.answer(1) == Status::error);
}

TEST_CASE("failed flush: another frontend of the same image gets no flush answered and may not write",
          "[unit][tapdisk]") {
    FailedDisk t;
    REQUIRE_FALSE(t.machine.disconnect());
    t.machine.make_frontend({});
    t.machine.connect();
    const GuestBuffer data = t.machine.pages(1);
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    CHECK_FALSE(t.machine.answered(2));
    CHECK(t.machine.run(t.machine.write(3, 0, data)) == Status::error);
    CHECK(t.machine.run(t.machine.read(4, 0, data)) == Status::okay);
}

TEST_CASE("failed flush: one that runs beside it and succeeds is held too", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    machine.put(VbdHarness::flush(1));
    machine.put(VbdHarness::flush(2));
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "FF");
    disk.complete(GENERATE(0u, 1u), EIO);
    disk.complete(0);
    machine.settle();
    CHECK(machine.unanswered() == 2);
}

TEST_CASE("failed flush: a barrier whose last flush succeeds after another flush failed is an error",
          "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    machine.send(machine.barrier(1, 0, machine.pages(1)));
    machine.settle();
    disk.complete(0);
    machine.settle();
    REQUIRE(disk.waiting() == "W");
    machine.send(VbdHarness::flush(2));
    machine.settle();
    REQUIRE(disk.waiting() == "FW");
    disk.complete(disk.find('F'), EIO);
    disk.automatic = true;
    disk.complete(0);
    machine.settle();
    CHECK(machine.answer(1) == Status::error);
}

TEST_CASE("failed flush: every step of a barrier that fails is an error", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const int failing = GENERATE(0, 1, 2);
    machine.send(machine.barrier(1, 0, machine.pages(1)));
    for (int step = 0; step <= failing; ++step) {
        machine.settle();
        REQUIRE(disk.count() == 1);
        disk.complete(0, step == failing ? EIO : 0);
    }
    machine.settle();
    CHECK(machine.answer(1) == Status::error);
    CHECK(machine.vbd().stats().at("flush-failed") == (failing != 1));
}

TEST_CASE("failed flush: one that pausing makes is told, and holds the guest's flushes", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    std::optional<std::error_code> paused;
    machine.vbd().pause([&paused](std::error_code error) { paused = error; });
    machine.settle();
    REQUIRE(disk.waiting() == "F");
    disk.complete(0, EIO);
    machine.settle();
    CHECK(paused == std::error_code(EIO, std::system_category()));
    disk.automatic = true;
    machine.resume();
    machine.send(VbdHarness::flush(1));
    machine.settle();
    CHECK_FALSE(machine.answered(1));
}

TEST_CASE("failed flush: with the real sequence of the kernel, EIO of fdatasync holds the flush", "[unit][tapdisk]") {
    VbdHarness machine;
    REQUIRE(machine.run(machine.write(1, 0, machine.pages(1))) == Status::okay);
    machine.kernel().result_error(2, EIO);
    machine.send(VbdHarness::flush(2));
    machine.settle();
    CHECK_FALSE(machine.answered(2));
    CHECK(machine.counter("/held-flushes") == 1);
}

namespace {

/// A disk that has a flush of which the storage says nothing.
struct WaitingDisk {
    WaitingDisk() {
        machine.send(VbdHarness::flush(1));
        machine.settle();
        REQUIRE(disk.waiting() == "F");
    }
    void wait(std::chrono::seconds time) {
        machine.clock().advance(time);
        machine.settle();
    }
    bool is_late() { return (machine.log().health.bits & StorageHealth::Kept::flush_late) != 0; }

    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer data = machine.pages(1);
};

}  // namespace

TEST_CASE("late flush: the log says while a flush takes long", "[unit][tapdisk]") {
    WaitingDisk t;
    t.wait(std::chrono::seconds(19));
    CHECK_FALSE(t.is_late());
    SECTION("it has ended before") {
        t.disk.complete(0);
        t.machine.settle();
        t.machine.send(VbdHarness::flush(2));
        t.wait(std::chrono::seconds(19));
        t.wait(std::chrono::seconds(19));
        CHECK(t.is_late() == false);
        t.wait(std::chrono::seconds(19));
    }
    SECTION("it does not end") {
        t.wait(std::chrono::seconds(2));
    }
    CHECK(t.is_late());
    t.disk.complete(t.disk.count() - 1);
    t.machine.settle();
    CHECK_FALSE(t.is_late());
    CHECK(t.machine.answer(t.machine.counter("/taken")) == Status::okay);
}

TEST_CASE("late flush: one that was late when its tapdisk died counts as failed", "[unit][tapdisk]") {
    WaitingDisk t;
    // The flush stays in the log, as that of a tapdisk that was killed.
    t.disk.complete(0, ENOSPC);
    t.disk.automatic = true;
    REQUIRE_FALSE(t.machine.shut_down());
    const bool late = GENERATE(true, false);
    Mapping log = Mapping::shared_file(t.machine.log_file().get(), sizeof(log_layout::Header));
    auto& header = *reinterpret_cast<log_layout::Header*>(log.data());
    header.health = late ? StorageHealth::Kept::flush_late : 0;
    t.machine.recover();
    CHECK(header.health == (late ? StorageHealth::Kept::flush_failed | StorageHealth::Kept::writes_refused : 0));
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.unanswered_ids() == (late ? std::vector<std::uint64_t>{1} : std::vector<std::uint64_t>{}));
    CHECK(t.machine.run(t.machine.write(2, 0, t.data)) == (late ? Status::error : Status::okay));
    CHECK(t.machine.vbd().stats().at("flush-failed") == late);
}
