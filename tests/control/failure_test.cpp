// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Attaches that must fail: within libxl's limits, with a reason that a person understands, and nothing left.
#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/control/host/scene.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using Catch::Contains;
using namespace std::chrono_literals;

namespace {

/// Attaches, is refused with a reason that names each of `words`, and cleans up as xl does.
void check_refused(Scene& scene, const Disk& disk, const std::vector<std::string>& words) {
    const MonotonicClock clock;
    const Nanoseconds began = clock.now();
    const auto outcome = scene.xl.attach(disk);
    CHECK(clock.now() - began < 10s);
    INFO("tapback said:\n" << scene.host.log());
    for (const std::string& word : words)
        CHECK_THAT(outcome.error, Contains(word));
    CHECK(scene.xl.backend_node(disk, "hotplug-status") != "connected");
    const auto cleaned = scene.xl.detach_by_force(disk);
    CHECK(cleaned.error == "");
    CHECK(scene.host.store().read(scene.xl.backend(disk) + "/state") == std::nullopt);
}

}  // namespace

TEST_CASE("failure: an image that cannot be is refused with the reason", "[control]") {
    Scene scene(any_xl());
    Disk disk = scene.disk;
    SECTION("no such file") {
        disk.target = "raw:/nowhere/image";
        check_refused(scene, disk, {"/nowhere/image", "No such file"});
    }
    SECTION("no such format") {
        disk.target = "sparse:" + scene.host.path("image-5-51712");
        check_refused(scene, disk, {"sparse"});
    }
    SECTION("no such option") {
        disk.target += "?colour=blue";
        check_refused(scene, disk, {"colour"});
    }
    SECTION("a directory") {
        disk.target = "raw:" + scene.host.path("");
        check_refused(scene, disk, {scene.host.path("")});
    }
    SECTION("no target") {
        disk.target = "";
        check_refused(scene, disk, {});
    }
    SECTION("a relative path") {
        disk.target = "raw:image";
        check_refused(scene, disk, {"image"});
    }
    // The same device again, with the right image.
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("failure: an image in use is refused, and its user is served on", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    Disk second = scene.disk;
    second.device = xvdb;
    check_refused(scene, second, {"in use"});
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("failure: two readers of one image are fine", "[control]") {
    Scene scene(any_xl());
    scene.disk.read_only = true;
    Disk second = scene.disk;
    second.device = xvdb;
    scene.attach(scene.disk);
    scene.attach(second);
    scene.detach(second);
    scene.detach(scene.disk);
}

TEST_CASE("failure: without tapback the script fails at once, and says why", "[control]") {
    Scene scene(Xl::v4_17);
    scene.host.kill_tapback();
    check_refused(scene, scene.disk, {"tapback"});
    scene.host.start_tapback();
}

TEST_CASE("failure: two backends that claim one device", "[control]") {
    Scene scene(Xl::v4_17);
    scene.xl.write_nodes(scene.disk);
    scene.host.store().write(scene.xl.backend(scene.disk) + "/tapdisk/owner", "another backend");
    const auto outcome = scene.xl.run_script(scene.disk, "add");
    CHECK_THAT(outcome.error, Contains("another backend"));
    CHECK(scene.host.take_unbound() == "");
    CHECK(scene.xl.backend_node(scene.disk, "tapdisk/owner") == "another backend");
    CHECK(scene.host.tapdisks().empty());
    scene.host.store().remove(scene.xl.backend(scene.disk) + "/tapdisk");
    scene.xl.destroy_domain(5);
}

TEST_CASE("failure: one frontend with a device of each kind is served by one of them", "[control]") {
    Scene scene(Xl::v4_17);
    scene.attach(scene.disk);
    Toolstack newer(scene.host, Xl::v4_19);
    Disk second = scene.disk;
    second.target = "raw:" + scene.host.make_image("second", image_size_bytes);
    const std::string backend = scene.xl.frontend_node(scene.disk, "backend");
    const auto outcome = newer.attach(second);
    scene.host.store().write(Toolstack::frontend(scene.disk) + "/backend", backend);
    CHECK_FALSE(outcome.okay());
    check_serves(scene.host, scene.disk);
    newer.detach_by_force(second, 100ms);  // nobody's: libxl deletes its nodes after a while
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
}

TEST_CASE("failure: a second tapback is refused, and the first one works on", "[control]") {
    Scene scene(any_xl());
    const std::string output = scene.host.path("second");
    CHECK(testing::run(scene.host.tapback_command(), {.environment = scene.host.environment(0), .output = output},
                       10s) == 1);
    const std::string said = testing::read_file(output);
    INFO(said);
    CHECK_THAT(said, Contains("running"));
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("failure: params that a toolstack did not write open nothing", "[control]") {
    Scene scene(any_xl());
    scene.xl.write_nodes(scene.disk);
    REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
    Guest guest(scene.host, scene.disk, {"load", "--requests", "1", "--timeout", "1"});
    CHECK(guest.wait() == 1);
    CHECK(scene.host.tapdisks().empty());
    scene.xl.destroy_domain(5);
}

TEST_CASE("failure: why a tapdisk did not start is what xl prints, until a later attempt works", "[control]") {
    Scene scene(any_xl());
    // As a host that has run out of what a tapdisk needs, it fails before it serves anything.
    const std::string socket = scene.host.run_directory() + "/5-51712.sock";
    std::ofstream(socket) << "not a socket";
    const auto outcome = scene.xl.attach(scene.disk);
    INFO("tapback said:\n" << scene.host.log());
    CHECK_THAT(outcome.error, Contains("did not start") && Contains("5-51712.sock") && Contains("in use"));
    CHECK_THAT(outcome.error, !Contains("peer closed"));
    std::filesystem::remove(socket);
    CHECK(scene.xl.run_script(scene.disk, "add").error == "");
    CHECK(scene.xl.backend_node(scene.disk, "hotplug-status") == "connected");
    CHECK(scene.xl.backend_node(scene.disk, "hotplug-error") == "none");
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("failure: a disk whose tapdisk died while no guest had it can be added again", "[control]") {
    Scene scene(any_xl());
    hold_the_dead(scene.host);
    scene.attach(scene.disk);
    const bool connected_before = GENERATE(false, true);
    if (connected_before) check_serves(scene.host, scene.disk);
    for (const pid_t pid : scene.host.tapdisks())
        testing::send_signal(pid, SIGKILL);
    REQUIRE(testing::wait_until([&] { return scene.host.tapdisks().empty(); }));
    CHECK(testing::wait_until([&] { return !scene.host.entry(5, xvda).contains("pid"); }));
    const auto outcome = scene.xl.run_script(scene.disk, "add");
    INFO("tapback said:\n" << scene.host.log());
    REQUIRE(outcome.error == "");
    CHECK(scene.host.tapdisks().size() == 1);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("failure: a disk whose tapdisk died under its guest is not added again", "[control]") {
    Scene scene(any_xl());
    hold_the_dead(scene.host);
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    for (const pid_t pid : scene.host.tapdisks())
        testing::send_signal(pid, SIGKILL);
    REQUIRE(testing::wait_until([&] { return scene.host.entry(5, xvda).value("state", "") == "held"; }));
    CHECK_THAT(scene.xl.run_script(scene.disk, "add").error, Contains("an image is open already"));
    guest.kill();
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
}
