// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Tapdisks that die while guests use their disks: another one goes on, with the same rings, and the guest sees a pause.
#include <csignal>
#include <set>

#include "tests/control/host/scene.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

struct RecoveryScene : Scene {
    explicit RecoveryScene(Xl version = Xl::v4_19) : Scene(version) {
        host.configure("deaths-per-minute = 0\n");
        host.replace_tapback();
    }
    pid_t tapdisk() const { return host.entry(5, xvda).value("pid", 0); }
    std::string state() const { return host.entry(5, xvda).value("state", ""); }
    void kill_tapdisk(int signal = SIGKILL) const { REQUIRE(testing::send_signal(tapdisk(), signal)); }
    /// Another tapdisk than `old` serves the guest.
    bool goes_on(pid_t old) const {
        return testing::wait_until([&] { return tapdisk() != old && state() == "connected"; });
    }
    std::string said() const { return "tapback said:\n" + host.log(); }
    ipc::Json vbd() const { return {{"domain", 5}, {"device", xvda}}; }
};

}  // namespace

TEST_CASE("recovery: a tapdisk that is killed under load is replaced, and the guest sees a pause", "[control]") {
    RecoveryScene scene(any_xl());
    const bool is_raw = GENERATE(true, false);
    if (!is_raw) {
        testing::make_qcow2(scene.host.path("disk.qcow2"), "8M");
        scene.disk.target = "qcow2:" + scene.host.path("disk.qcow2");
    }
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--flush-every", "20"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    std::set<pid_t> tapdisks;
    for (int i = 0; i < 5; ++i) {
        const pid_t old = scene.tapdisk();
        tapdisks.insert(old);
        scene.kill_tapdisk(i == 3 ? SIGTERM : SIGKILL);
        INFO(scene.said());
        REQUIRE(scene.goes_on(old));
        CHECK(scene.xl.backend_node(scene.disk, "state") == "4");
    }
    CHECK(tapdisks.size() == 5);
    guest.interrupt();
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output() << scene.said());
    CHECK(status == 0);
    scene.detach(scene.disk);
    if (!is_raw) CHECK(testing::check_qcow2(scene.host.path("disk.qcow2")) % 3 == 0);
}

TEST_CASE("recovery: it does not matter that tapback is killed as well", "[control]") {
    RecoveryScene scene;
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    for (int i = 0; i < 6; ++i) {
        const pid_t old = scene.tapdisk();
        REQUIRE(old > 0);
        kill_with_tapback(scene.host, old, i % 2 == 0);
        INFO(scene.said());
        REQUIRE(scene.goes_on(old));
    }
    guest.interrupt();
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output() << scene.said());
    CHECK(status == 0);
    scene.detach(scene.disk);
}

TEST_CASE("recovery: a disk that no guest uses yet, and one that is paused, are what they were", "[control]") {
    RecoveryScene scene;
    scene.attach(scene.disk);
    const bool pauses = GENERATE(false, true);
    if (pauses) CHECK(scene.host.call("pause", scene.vbd()).error_message == "");
    const pid_t old = scene.tapdisk();
    scene.kill_tapdisk();
    const char* const before = pauses ? "paused" : "waiting for the guest";
    CHECK(testing::wait_until([&] { return scene.tapdisk() != old && scene.state() == before; }));
    if (pauses) CHECK(scene.host.call("resume", scene.vbd()).error_message == "");
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("recovery: after too many deaths the disk is held, and an operator has it served again", "[control]") {
    RecoveryScene scene;
    scene.host.configure("deaths-per-minute = 2\n");
    scene.host.replace_tapback();
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--timeout", "120"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const pid_t old = scene.tapdisk();
    scene.kill_tapdisk();
    REQUIRE(scene.goes_on(old));
    scene.kill_tapdisk();
    REQUIRE(testing::wait_until([&] { return scene.state() == "held"; }));
    const std::string problem = scene.host.entry(5, xvda).value("problem", "");
    CHECK_THAT(problem, Catch::Contains("killed by signal 9"));
    CHECK_THAT(problem, Catch::Contains("the last of 2 within a minute; \"tap-ctl recover 5/51712\""));
    CHECK_THAT(scene.xl.backend_node(scene.disk, "tapdisk/status"), Catch::Contains("tap-ctl recover 5/51712"));
    CHECK_THAT(scene.host.call("pause", scene.vbd()).error_message, Catch::Contains("tap-ctl recover 5/51712"));
    const ipc::Reply reply = scene.host.call("recover", scene.vbd());
    INFO(scene.said());
    CHECK(reply.error_message == "");
    CHECK(scene.state() == "connected");
    guest.interrupt();
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output());
    CHECK(status == 0);
    scene.detach(scene.disk);
}

TEST_CASE("recovery: a guest that has begun anew meanwhile is served as it is then", "[control]") {
    RecoveryScene scene;
    hold_the_dead(scene.host);
    scene.attach(scene.disk);
    {
        Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        scene.kill_tapdisk();
        REQUIRE(testing::wait_until([&] { return scene.state() == "held"; }));
        guest.kill();
    }
    Guest next(scene.host, scene.disk, verified_load({"--requests", "300"}));
    REQUIRE(testing::wait_until([&] { return scene.xl.frontend_node(scene.disk, "state") == "3"; }));
    const ipc::Reply reply = scene.host.call("recover", scene.vbd());
    INFO(scene.said());
    CHECK(reply.error_message == "");
    CHECK(next.wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("recovery: a domain that is destroyed while its disk is held leaves nothing", "[control]") {
    RecoveryScene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    scene.host.use_tapdisk("/bin/false");  // none can be started
    scene.host.replace_tapback();
    REQUIRE(testing::wait_until([&] { return scene.state() == "connected"; }));
    scene.kill_tapdisk();
    REQUIRE(testing::wait_until([&] { return scene.state() == "recovering"; }));
    guest.kill();
    scene.xl.destroy_domain(5);
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }));
}

TEST_CASE("recovery: the number that the script knows a tapdisk by stays, whichever serves", "[control]") {
    RecoveryScene scene;
    use_block_tap(scene);
    scene.disk.target = scene.host.path("image-5-51712");
    scene.attach(scene.disk);
    const std::string number = scene.xl.backend_node(scene.disk, "pid");
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const pid_t old = scene.tapdisk();
    CHECK(std::to_string(old) == number);
    scene.kill_tapdisk();
    REQUIRE(scene.goes_on(old));
    CHECK(scene.xl.backend_node(scene.disk, "pid") == number);
    CHECK(scene.host.call("tap-list").result.at("taps").at(0).value("pid", 0) == old);
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
    CHECK(scene.host.call("tap-list").result.at("taps").empty());
}

TEST_CASE("recovery: the installed tapdisk goes on under load, if it can; else the old one is not touched",
          "[control]") {
    RecoveryScene scene;
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--flush-every", "20"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    for (int i = 0; i < 5; ++i) {
        const pid_t old = scene.tapdisk();
        const ipc::Reply reply = scene.host.call("upgrade", scene.vbd());
        INFO(scene.said());
        CHECK(reply.error_message == "");
        CHECK(scene.tapdisk() != old);
        CHECK(scene.state() == "connected");
    }
    scene.host.use_tapdisk("/bin/false");
    scene.host.replace_tapback();
    REQUIRE(testing::wait_until([&] { return scene.state() == "connected"; }));
    const pid_t old = scene.tapdisk();
    CHECK_THAT(scene.host.call("upgrade", scene.vbd()).error_message,
               Catch::Contains("the installed tapdisk cannot go on with its recovery log: exited with status 1"));
    CHECK(scene.tapdisk() == old);
    guest.interrupt();
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output() << scene.said());
    CHECK(status == 0);
    CHECK(scene.host.logged("tapdisk.died") == 0);
    scene.detach(scene.disk);
}
