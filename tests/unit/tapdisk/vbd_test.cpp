// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The states of a disk: what each allows, that only one operation runs at a time, and how a disk ends.
#include "tapdisk/vbd.hpp"

#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/disk_states.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;
using ring::Status;

TEST_CASE("vbd: each operation is refused in the states in which it makes no sense", "[unit][tapdisk][XSA-350]") {
    VbdHarness machine;
    Vbd& vbd = machine.vbd();
    const auto arguments = machine.frontend().connect_arguments();
    const auto open = [&] { machine.open(buffered(machine.image_path()), std::make_unique<LocalImageOpener>()); };

    // Connected.
    CHECK(is_wrong_state(open));
    CHECK(is_wrong_state([&] { vbd.connect(arguments, {}); }));
    CHECK(is_wrong_state([&] { machine.resume(); }));

    REQUIRE_FALSE(machine.pause());  // paused, connected
    CHECK(is_wrong_state(open));
    CHECK(is_wrong_state([&] { vbd.pause(nobody); }));
    CHECK(is_wrong_state([&] { vbd.retry(); }));
    CHECK(is_wrong_state([&] { vbd.connect(arguments, {}); }));

    REQUIRE_FALSE(machine.disconnect());  // paused
    CHECK(is_wrong_state([&] { vbd.connect(arguments, {}); }));
    CHECK(is_wrong_state([&] { vbd.disconnect("", ipc::RingsLeft::untouched, nobody); }));

    machine.resume();  // open
    CHECK(is_wrong_state(open));
    CHECK(is_wrong_state([&] { vbd.disconnect("", ipc::RingsLeft::untouched, nobody); }));
    CHECK_NOTHROW(vbd.retry());

    REQUIRE_FALSE(machine.close());
    CHECK(is_wrong_state([&] { vbd.connect(arguments, {}); }));
    CHECK(is_wrong_state([&] { vbd.disconnect("", ipc::RingsLeft::untouched, nobody); }));
    CHECK(is_wrong_state([&] { vbd.pause(nobody); }));
    CHECK(is_wrong_state([&] { vbd.close(nobody); }));
    CHECK(is_wrong_state([&] { vbd.retry(); }));
    CHECK(is_wrong_state([&] { machine.resume(); }));
    CHECK(is_wrong_state([&] { (void)vbd.describe(); }));
    CHECK(vbd.stats().at("state") == "closed");
    open();
    CHECK(vbd.state() == Vbd::State::open);
}

TEST_CASE("vbd: while one operation is under way every other is refused", "[unit][tapdisk]") {
    VbdHarness machine;
    Vbd& vbd = machine.vbd();
    machine.kernel().hold();
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.settle();
    bool done = false;
    vbd.pause([&done](std::error_code) { done = true; });
    CHECK(is_wrong_state([&] { vbd.disconnect("", ipc::RingsLeft::untouched, nobody); }));
    CHECK(is_wrong_state([&] { vbd.pause(nobody); }));
    CHECK(is_wrong_state([&] { vbd.close(nobody); }));
    CHECK(is_wrong_state([&] { machine.resume(); }));
    machine.settle();
    CHECK_FALSE(done);
    machine.kernel().complete_at_submit();
    machine.kernel().complete_all();
    machine.settle();
    CHECK(done);
    CHECK(machine.answer(1) == Status::okay);
}

TEST_CASE("vbd: a shutdown that comes during another operation waits for it", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().hold();
    machine.send(machine.write(1, 0, machine.pages(1)));
    machine.settle();
    std::string order;
    SECTION("pause") {
        machine.vbd().pause([&order](std::error_code) { order += 'p'; });
    }
    SECTION("disconnect") {
        machine.vbd().disconnect("", ipc::RingsLeft::untouched, [&order](std::error_code) { order += 'p'; });
    }
    SECTION("close") {
        machine.vbd().close([&order](std::error_code) { order += 'p'; });
    }
    machine.vbd().shut_down([&order](std::error_code) { order += 's'; });
    machine.settle();
    CHECK(order.empty());
    machine.kernel().complete_at_submit();
    machine.kernel().complete_all();
    machine.settle();
    CHECK(order == "ps");
    CHECK(machine.vbd().state() == Vbd::State::closed);
    CHECK(machine.answer(1) == Status::okay);
    CHECK_FALSE(is_open(machine.image_path()));
}

TEST_CASE("vbd: a shutdown answers what the kernel has and leaves the rest in the ring", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().hold();
    machine.send(machine.write(1, 0, machine.pages(1)));
    machine.settle();
    bool done = false;
    machine.vbd().shut_down([&done](std::error_code) { done = true; });
    machine.send(machine.write(2, 0, machine.pages(1)));
    machine.settle();
    machine.kernel().complete_at_submit();
    machine.kernel().complete_all();
    machine.settle();
    CHECK(done);
    CHECK(machine.answer(1) == Status::okay);
    CHECK_FALSE(machine.answered(2));
    CHECK(machine.logged_ids().empty());
}

TEST_CASE("vbd: a disk that was never connected, or never opened, shuts down too", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.connect = false;
    VbdHarness machine{options};
    if (GENERATE(false, true)) REQUIRE_FALSE(machine.close());
    CHECK_FALSE(machine.shut_down());
    CHECK(machine.vbd().state() == Vbd::State::closed);
}

TEST_CASE("vbd: closing tells of a last flush that failed, and the image is closed all the same", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().result_error(1, EIO);
    CHECK(machine.close() == std::error_code(EIO, std::system_category()));
    CHECK(machine.vbd().state() == Vbd::State::closed);
    CHECK_FALSE(is_open(machine.image_path()));
}
