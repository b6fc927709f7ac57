// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk that answers nothing and does not end when it is asked to: its disk can be taken away all the same, in the
// times that docs/tapback-protocol.md states.
#include <csignal>

#include "tests/control/host/scene.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

TEST_CASE("deaf: a disk whose tapdisk is stopped can be taken away within two minutes", "[control][slow]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    // As deaf as one can be: it neither reads its socket nor takes SIGTERM.
    const auto tapdisks = scene.host.tapdisks();
    REQUIRE(tapdisks.size() == 1);
    REQUIRE(testing::send_signal(tapdisks.front(), SIGSTOP));
    guest.kill();
    scene.xl.detach_by_force(scene.disk);  // libxl waits for ten seconds, and removes its nodes
    CHECK(testing::wait_until([&] { return scene.host.tapdisks().empty(); }, 110s));
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }));
    CHECK(scene.host.logged("tapdisk.killed") == 1);
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}
