// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk that goes on with the rings of another one: each request is answered once, in the order that the guest may
// rely on, and what was known of the storage is known still. The first tapdisk shuts down here, so that what it left is
// known; tests/crash/recovery_kill_test.cpp kills it at any moment.
#include "tests/support/catch.hpp"
#include "tests/support/machine/second_peer.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using Catch::Contains;
using ring::Status;
using Ids = std::vector<std::uint64_t>;

namespace {

VbdHarness::Options two_queues(StubDisk& disk) {
    VbdHarness::Options options = disk.options();
    options.frontend.queue_count = 2;
    return options;
}

/// A guest whose tapdisk ended while requests waited for space.
struct Interrupted {
    StubDisk disk{};
    VbdHarness machine{two_queues(disk)};
    GuestBuffer data = machine.pages(1);

    /// Sends `request`, which finds no space.
    void park(const ring::RawRequest& request, unsigned queue = 0) {
        const std::size_t before = disk.count();
        machine.send(request, queue);
        machine.settle();
        REQUIRE(disk.count() == before + 1);
        disk.complete(before, ENOSPC);
        machine.settle();
    }
    void end() {
        shut_down();
        machine.recover();
    }
    /// The tapdisk's last flush succeeds.
    void shut_down() {
        const bool before = std::exchange(disk.automatic, true);
        REQUIRE_FALSE(machine.shut_down());
        disk.automatic = before;
    }
    std::uint64_t counter(const std::string& name) {
        return machine.vbd().stats().at("connection").at(name).get<std::uint64_t>();
    }
};

/// The log of two rings of 32 slots.
struct LogFile {
    explicit LogFile(const UniqueFd& file) : mapping(Mapping::shared_file(file.get(), size_bytes)) {}
    static constexpr std::size_t queue_bytes = sizeof(log_layout::QueueHeader) + 32 * sizeof(log_layout::Slot);
    static constexpr std::size_t size_bytes = sizeof(log_layout::Header) + 2 * queue_bytes;
    log_layout::Header& header() { return *reinterpret_cast<log_layout::Header*>(mapping.data()); }
    log_layout::QueueHeader& queue(std::size_t index) {
        return *reinterpret_cast<log_layout::QueueHeader*>(mapping.data() + sizeof(log_layout::Header) +
                                                           index * queue_bytes);
    }
    log_layout::Slot& slot_with(std::size_t queue_index, std::uint64_t id) {
        auto* const slots = reinterpret_cast<log_layout::Slot*>(&queue(queue_index) + 1);
        for (std::size_t i = 0; i < 32; ++i)
            if (slots[i].request.id == id) return slots[i];
        throw std::logic_error("no such request");
    }
    /// As the log is while the answer to the request `id` of queue 0, the first of the ring, is made visible.
    void begin_first_publication(std::uint64_t id) {
        log_layout::Slot& slot = slot_with(0, id);
        slot.state = 1;
        queue(0).published[0] = static_cast<std::uint16_t>(&slot - reinterpret_cast<log_layout::Slot*>(&queue(0) + 1));
        queue(0).published_count = 1;
        queue(0).old_producer = 0;
        queue(0).new_producer = 1;
        queue(0).publishing = 1;
    }
    Mapping mapping;
};

}  // namespace

TEST_CASE("recovery: what was not answered is, once, and the guest goes on", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data), 0);
    t.park(t.machine.write(2, 64, t.data), 1);
    t.end();
    CHECK(t.counter("adopted") == 2);
    t.machine.send(t.machine.read(3, 128, t.data), 1);
    t.machine.settle();
    CHECK(t.disk.waiting().empty());  // not before "resume"
    t.disk.automatic = true;
    t.machine.resume();
    t.machine.settle();
    for (const std::uint64_t id : {1u, 2u, 3u})
        CHECK(t.machine.answer(id) == Status::okay);
    CHECK(t.machine.run(t.machine.write(4, 8, t.data)) == Status::okay);
    CHECK(t.machine.logged_ids().empty());
}

TEST_CASE("recovery: requests that overlap are done again one after the other, as they were sent", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data), 1);
    t.machine.send(t.machine.write(2, 0, t.data), 0);
    t.machine.settle();
    REQUIRE(t.disk.waiting().empty());
    t.end();
    t.machine.resume();
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "W");
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.machine.answered(1));
    CHECK_FALSE(t.machine.answered(2));
    REQUIRE(t.disk.waiting() == "W");
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.machine.answered(2));
}

TEST_CASE("recovery: a barrier waits for what was sent before it, and holds back what comes after", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data), 1);
    t.machine.send(t.machine.barrier(2, 64, t.data), 0);
    t.machine.send(t.machine.write(3, 128, t.data), 1);
    t.machine.settle();
    t.end();
    t.machine.send(t.machine.write(4, 192, t.data), 1);
    t.machine.resume();
    t.machine.settle();
    REQUIRE(t.disk.waiting() == "W");
    CHECK(t.disk.range(0).first == 0);
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.disk.waiting() == "F");
    t.disk.automatic = true;
    t.disk.complete(0);
    t.machine.settle();
    CHECK(t.machine.unanswered() == 0);
}

TEST_CASE("recovery: a request that finds no space again waits again", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.end();
    t.machine.resume();
    t.machine.settle();
    t.disk.complete(0, ENOSPC);
    t.machine.settle();
    CHECK(t.machine.unanswered_ids() == Ids{1});
    CHECK(t.counter("parked") == 1);
    t.disk.automatic = true;
    t.machine.vbd().retry();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
}

TEST_CASE("recovery: a flush that failed has failed for every tapdisk after", "[unit][tapdisk]") {
    Interrupted t;
    t.machine.send(VbdHarness::flush(1));
    t.machine.settle();
    t.disk.complete(0, EIO);
    t.machine.settle();
    t.disk.automatic = true;
    t.end();
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.unanswered_ids() == Ids{1});
    CHECK(t.machine.run(t.machine.write(2, 0, t.data)) == Status::error);
    CHECK(t.machine.vbd().stats().at("flush-failed") == true);
    SECTION("until the loss is accepted") {
        t.machine.vbd().accept_loss();
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::error);
    }
    SECTION("also where it ends between that and the answer") {
        // As accept_loss() leaves it, before the flush is answered.
        LogFile log(t.machine.log_file());
        t.shut_down();
        log.header().lost_until = log.slot_with(0, 1).sequence;
        log.header().health = StorageHealth::Kept::writes_refused;
        t.machine.recover();
        t.machine.resume();
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::error);
        CHECK(t.machine.run(VbdHarness::flush(3)) == Status::okay);
        CHECK(t.machine.run(t.machine.write(4, 0, t.data)) == Status::error);
        // Its operator may have resumed the disk already, and not heard that.
        t.machine.vbd().retry();
        CHECK(t.machine.run(t.machine.write(5, 0, t.data)) == Status::okay);
    }
    SECTION("and writes are refused until the disk is resumed, for its image was opened again") {
        t.machine.vbd().retry();
        CHECK(t.machine.run(t.machine.write(3, 0, t.data)) == Status::okay);
        CHECK(t.machine.unanswered_ids() == Ids{1});
        t.end();
        t.machine.resume();
        CHECK(t.machine.run(t.machine.write(4, 0, t.data)) == Status::okay);
    }
}

TEST_CASE("recovery: an answer that was seen, and not yet forgotten, is given once", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.disk.automatic = true;
    REQUIRE(t.machine.run(t.machine.read(2, 64, t.data)) == Status::okay);
    t.shut_down();
    LogFile log(t.machine.log_file());
    log.begin_first_publication(2);
    SECTION("it was seen") {}
    SECTION("it was seen, and a part of the slots freed") {
        log.slot_with(0, 2).state = 0;
    }
    for (const int deaths : {0, 1}) {
        INFO(deaths);
        t.machine.recover();
        CHECK(t.counter("adopted") == 1);
        CHECK(log.queue(0).publishing == 0);
        t.shut_down();
    }
    t.machine.recover();
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.unanswered() == 0);
}

TEST_CASE("recovery: an answer that was not seen yet is given", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.shut_down();
    LogFile log(t.machine.log_file());
    log.begin_first_publication(1);
    t.machine.recover();
    t.disk.automatic = true;
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
}

TEST_CASE("recovery: a request that was half taken is taken from the ring", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.shut_down();
    // Noted, and the ring was not advanced yet.
    LogFile log(t.machine.log_file());
    log.queue(0).consumed = 0;
    t.machine.recover();
    CHECK(t.counter("adopted") == 0);
    t.disk.automatic = true;
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.unanswered() == 0);
}

TEST_CASE("recovery: a ring that is not as the log says is stopped, and the others are served", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data), 0);
    t.park(t.machine.write(2, 64, t.data), 1);
    t.shut_down();
    LogFile log(t.machine.log_file());
    SECTION("answers that nobody gave") {
        log.queue(1).publishing = 1;
        log.queue(1).old_producer = 7;
        log.queue(1).new_producer = 8;
        log.queue(1).published_count = 1;
    }
    SECTION("a request less") {
        log.slot_with(1, 2).state = 0;
    }
    SECTION("taken from a place that the guest never filled") {
        log.queue(1).consumed = 40;
    }
    t.machine.recover();
    CHECK(t.counter("stopped-queues") == 1);
    t.disk.automatic = true;
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK_FALSE(t.machine.answered(2));
    CHECK(t.machine.run(t.machine.read(3, 0, t.data), 0) == Status::okay);
}

TEST_CASE("recovery: a log that is not of these rings is refused by name", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.shut_down();
    LogFile log(t.machine.log_file());
    std::string expected;
    SECTION("another boot") {
        log.header().boot[3] ^= 1;
        expected = "of an earlier boot";
    }
    SECTION("another frontend") {
        log.header().frontend ^= 1;
        expected = "of another frontend's rings";
    }
    SECTION("another size") {
        REQUIRE(::ftruncate(t.machine.log_file().get(), LogFile::size_bytes - 1) == 0);
        expected = "but these rings' has";
    }
    SECTION("another number of slots") {
        log.header().slots_per_queue = 31;
        expected = "of rings of another size";
    }
    SECTION("of a version to come") {
        log.header().version = 3;
        expected = "version 3 is not known here";
    }
    SECTION("damaged") {
        log.slot_with(0, 1).state = 9;
        expected = "damaged";
    }
    CHECK_THROWS_WITH(t.machine.recover(), Contains("recovery log") && Contains(expected));
    CHECK(t.machine.world().pages_mapped_by(0) == 0);
}

TEST_CASE("recovery: the log of the version before is read", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.shut_down();
    LogFile log(t.machine.log_file());
    log.header().version = 1;
    log.header().boot = {};
    log.header().frontend = 0;
    t.machine.recover();
    CHECK(log.header().version == 2);
    t.disk.automatic = true;
    t.machine.resume();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
}

TEST_CASE("recovery: a tapdisk that never gets its image lets the frontend go with an error", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.end();
    CHECK_FALSE(t.machine.disconnect());
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
}

TEST_CASE("recovery: what has grown is told, and what has shrunk is refused", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.end();
    t.disk.automatic = true;
    SECTION("grown") {
        t.disk.info.size_sectors *= 2;
        t.machine.resume();
        CHECK(t.machine.vbd().describe("").size_sectors == t.disk.info.size_sectors);
        CHECK(t.machine.run(t.machine.read(2, t.disk.info.size_sectors - 8, t.data)) == Status::okay);
    }
    SECTION("shrunk") {
        t.disk.info.size_sectors /= 2;
        CHECK_THROWS_WITH(t.machine.resume(), Contains("but the guest was told"));
        CHECK_FALSE(t.machine.answered(1));
    }
}

TEST_CASE("recovery: the log of one connection is not given to another", "[unit][tapdisk]") {
    Interrupted t;
    t.park(t.machine.write(1, 0, t.data));
    t.end();
    t.machine.resume();
    t.machine.settle();
    SECTION("by a controller") {
        ipc::ConnectArguments second = t.machine.frontend().connect_arguments();
        second.connection = "second";
        UniqueFd log{::dup(t.machine.log_file().get())};
        CHECK_THROWS_WITH(t.machine.vbd().connect(second, std::move(log)), Contains("another connection's"));
    }
    SECTION("by the command line") {
        const SecondPeer second{t.machine, {.local = true}};
    }
    CHECK(t.machine.logged_ids() == Ids{1});
}

TEST_CASE("recovery: rings are adopted by a successor only", "[unit][tapdisk]") {
    Interrupted t;
    CHECK_THROWS_WITH(t.machine.vbd().connect(t.machine.frontend().connect_arguments(), make_anonymous_log_file(), {},
                                              Vbd::Rings::adopted),
                      Contains("recover"));
    CHECK_THROWS_WITH(t.machine.vbd().recover({"stub", "x", Access::read_write, {}}, nullptr, {}),
                      Contains("open already"));
}
