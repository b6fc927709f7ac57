// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One of two connections to a full disk leaves: its requests behind those that wait for space fail, all others are
// served, and the other connection's requests neither fail nor change order.

#include "tests/support/catch.hpp"
#include "tests/support/machine/second_peer.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Status;

namespace {

const std::error_code out_of_space = std::make_error_code(std::errc::no_space_on_device);

/// A disk that has no space for sector 64. `first` stays connected, `second` leaves.
struct TwoOnOneDisk {
    void first_sends(const ring::RawRequest& request) {
        first.send(request);
        first.settle();
    }
    void second_sends(const ring::RawRequest& request) {
        second.send(request);
        first.settle();
    }
    void first_has_parked(const ring::RawRequest& request) {
        first_sends(request);
        complete_one();
        REQUIRE(first.counter("/parked") == 1);
    }
    /// The end of what was begun first in the driver.
    void complete_one() {
        disk.complete(0, disk.range(0).first == 64 ? out_of_space : std::error_code{});
        first.settle();
    }
    void second_begins_to_leave() {
        first.vbd().disconnect(SecondPeer::name, ipc::RingsLeft::served,
                               [this](std::error_code error) { left = error; });
        first.settle();
    }
    void second_leaves() {
        for (int i = 0; !left && i < 100; ++i) {
            while (disk.count() > 0 && !left)
                complete_one();
            first.clock().advance(std::chrono::milliseconds(50));
            first.settle();
        }
        REQUIRE(left);
    }
    void space_comes() {
        disk.automatic = true;
        disk.complete_all();
        first.vbd().retry();
        first.settle();
    }
    GuestBuffer stamped(std::uint64_t sector, std::uint64_t stamp) {
        GuestBuffer data = first.pages(1);
        data.fill(sector, stamp);
        return data;
    }

    StubDisk disk{};
    VbdHarness first{disk.options()};
    SecondPeer second{first, {.local = GENERATE(false, true)}};
    GuestBuffer page = second.pages(1);
    GuestBuffer pages = second.pages(2);
    std::optional<std::error_code> left{};
};

}  // namespace

TEST_CASE("leaving: what waits for no parked request is served", "[unit][tapdisk]") {
    TwoOnOneDisk t;
    const GuestBuffer data = t.stamped(64, 1);
    t.first_has_parked(VbdHarness::write(1, 64, data));
    t.second_sends(VbdHarness::write(1, 64, t.page));
    t.second_sends(VbdHarness::read(2, 128, t.page));
    t.second_begins_to_leave();
    t.second_sends(VbdHarness::read(3, 256, t.page));
    t.second_sends(VbdHarness::write(4, 512, t.page));
    t.second_leaves();
    CHECK(t.second.answer(1) == Status::error);
    for (const std::uint64_t id : {2u, 3u, 4u})
        CHECK(t.second.answer(id) == Status::okay);
    CHECK_FALSE(t.first.answered(1));
    t.space_comes();
    CHECK(t.first.answer(1) == Status::okay);
    CHECK(t.disk.bytes(data.at(64)) == data.get());
}

TEST_CASE("leaving: a range is waited for that another one has in the driver", "[unit][tapdisk]") {
    TwoOnOneDisk t;
    t.first_has_parked(VbdHarness::write(1, 64, t.first.pages(1)));
    t.first_sends(VbdHarness::discard(2, {512, 8}));
    t.second_sends(VbdHarness::write(1, 512, t.page));
    t.second_sends(VbdHarness::read(2, 512, t.page));
    REQUIRE(t.disk.waiting() == "D");
    t.second_begins_to_leave();
    t.second_leaves();
    CHECK(t.second.answer(1) == Status::okay);
    CHECK(t.second.answer(2) == Status::okay);
    CHECK(t.first.answer(2) == Status::okay);
    CHECK_FALSE(t.first.answered(1));
}

TEST_CASE("leaving: of a chain of requests those fail that the parked one would still keep waiting",
          "[unit][tapdisk]") {
    TwoOnOneDisk t;
    const GuestBuffer newer = t.stamped(64, 2);
    t.first_has_parked(VbdHarness::write(1, 64, t.stamped(64, 1)));
    t.second_sends(VbdHarness::write(1, 64, t.pages));          // behind the parked one
    t.first_sends(VbdHarness::write(2, 72, t.stamped(72, 3)));  // behind that only
    t.second_sends(VbdHarness::write(2, 72, t.pages));          // behind both of [72, 80) only
    t.first_sends(VbdHarness::write(3, 64, newer));
    t.second_sends(VbdHarness::write(3, 64, t.page));  // behind that and the parked one
    REQUIRE(t.disk.waiting().empty());
    t.second_begins_to_leave();
    t.second_leaves();
    CHECK(t.second.answer(1) == Status::error);
    CHECK(t.second.answer(2) == Status::okay);
    CHECK(t.second.answer(3) == Status::error);
    CHECK(t.first.answer(2) == Status::okay);
    CHECK_FALSE(t.first.answered(1));
    CHECK_FALSE(t.first.answered(3));
    t.space_comes();
    CHECK(t.first.answer(1) == Status::okay);
    CHECK(t.first.answer(3) == Status::okay);
    CHECK(t.disk.bytes(newer.at(64)) == newer.get());
}

TEST_CASE("leaving: parked requests that overlap keep their places together", "[unit][tapdisk]") {
    TwoOnOneDisk t;
    const GuestBuffer newest = t.stamped(64, 3);
    t.first_sends(VbdHarness::write(1, 64, t.stamped(64, 1)));
    t.first_sends(VbdHarness::write(2, 64, t.first.pages(2)));
    REQUIRE(t.disk.waiting() == "WW");
    t.complete_one();
    t.complete_one();
    REQUIRE(t.first.counter("/parked") == 2);
    t.second_sends(VbdHarness::write(1, 72, t.page));
    t.second_sends(VbdHarness::discard(2, {64, 8}));
    t.first_sends(VbdHarness::write(3, 64, newest));
    t.second_begins_to_leave();
    t.second_leaves();
    CHECK(t.second.answer(1) == Status::error);
    CHECK(t.second.answer(2) == Status::error);
    t.space_comes();
    for (const std::uint64_t id : {1u, 2u, 3u})
        CHECK(t.first.answer(id) == Status::okay);
    CHECK(t.disk.bytes(newest.at(64)) == newest.get());
}

TEST_CASE("leaving: a barrier fails that a parked request keeps waiting, and what it held back goes on",
          "[unit][tapdisk]") {
    TwoOnOneDisk t;
    t.first_has_parked(VbdHarness::write(1, 64, t.first.pages(1)));
    t.second_sends(VbdHarness::barrier(1, 512, t.page));
    t.second_sends(VbdHarness::write(2, 1024, t.page));
    t.first_sends(VbdHarness::write(2, 2048, t.first.pages(1)));
    t.second_sends(VbdHarness::write(3, 64, t.page));
    REQUIRE(t.disk.waiting().empty());
    t.second_begins_to_leave();
    t.second_leaves();
    CHECK(t.second.answer(1) == Status::error);
    CHECK(t.second.answer(2) == Status::okay);
    CHECK(t.second.answer(3) == Status::error);
    CHECK(t.first.answer(2) == Status::okay);
    CHECK_FALSE(t.first.answered(1));
}

TEST_CASE("leaving: a barrier is served that waits for what the driver has, whatever was parked after it",
          "[unit][tapdisk]") {
    TwoOnOneDisk t;
    t.first_sends(VbdHarness::write(1, 128, t.first.pages(1)));
    t.second_sends(VbdHarness::barrier(1, 512, t.page));
    t.first_sends(VbdHarness::flush(2));
    t.disk.complete(t.disk.find('F'), out_of_space);
    t.first.settle();
    REQUIRE(t.first.counter("/parked") == 1);
    t.second_sends(VbdHarness::write(2, 1024, t.page));
    t.second_begins_to_leave();
    t.second_leaves();
    CHECK(t.first.answer(1) == Status::okay);
    CHECK(t.second.answer(1) == Status::okay);
    CHECK(t.second.answer(2) == Status::okay);
}

TEST_CASE("leaving: behind another one's parked barrier writes fail, and reads are served", "[unit][tapdisk]") {
    TwoOnOneDisk t;
    t.first_sends(VbdHarness::barrier(1, 64, t.first.pages(1)));
    t.complete_one();  // the flush before it
    t.complete_one();
    REQUIRE(t.first.counter("/parked") == 1);
    t.second_sends(VbdHarness::write(1, 512, t.page));
    t.second_sends(VbdHarness::read(2, 128, t.page));
    t.first_sends(VbdHarness::write(2, 1024, t.first.pages(1)));
    t.second_begins_to_leave();
    t.second_sends(VbdHarness::read(3, 256, t.page));
    t.second_sends(VbdHarness::write(4, 2048, t.page));
    t.second_leaves();
    for (const std::uint64_t id : {1u, 4u})
        CHECK(t.second.answer(id) == Status::error);
    for (const std::uint64_t id : {2u, 3u})
        CHECK(t.second.answer(id) == Status::okay);
    CHECK_FALSE(t.first.answered(1));
    CHECK_FALSE(t.first.answered(2));
    t.space_comes();
    CHECK(t.first.answer(1) == Status::okay);
    CHECK(t.first.answer(2) == Status::okay);
}
