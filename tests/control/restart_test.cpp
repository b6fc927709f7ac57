// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapback killed and started again at every step: of an attach, of a running disk, of a detach. A running disk notices
// nothing, and what was half done can be done again.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "libblktap/files/local_image_opener.hpp"
#include "tests/control/host/interference.hpp"
#include "tests/control/host/scene.hpp"
#include "tests/support/process.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

constexpr const char* everything = "/local";

/// xl's script to remove waits for the end of the tapdisk, unless its tapback was killed.
void wait_until_forgotten(const Scene& scene) {
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }, 10s));
}

/// Runs `life` with tapback replaced after the first change of xenstore, after the second, ... until a whole life has
/// fewer. `settle` runs between two lives.
void at_every_step(
    Scene& scene, const std::function<void()>& life, const std::function<void()>& settle = [] {}) {
    for (unsigned changes = 1;; ++changes) {
        INFO("replaced after " << changes << " changes");
        Interference interference(everything, changes, [&scene] { scene.host.replace_tapback(); });
        life();
        const bool happened = interference.end();
        settle();
        if (!happened) break;
        REQUIRE(changes < 1000);
    }
}

std::string record_path(const ControlHost& host) {
    return host.run_directory() + "/5-51712.json";
}

ipc::Json read_record(const ControlHost& host) {
    return ipc::Json::parse(testing::read_file(record_path(host)));
}

void forget_process(const ControlHost& host) {
    ipc::Json record = read_record(host);
    REQUIRE(record.erase("process") == 1);
    std::ofstream(record_path(host)) << record.dump();
}

}  // namespace

TEST_CASE("restart: a disk can be attached while tapback is replaced, or once more after", "[control]") {
    Scene scene(any_xl());
    unsigned failed = 0;
    const auto life = [&] {
        const auto outcome = scene.xl.attach(scene.disk);
        if (outcome.okay()) {
            CHECK(scene.xl.wait_for_backend_state(scene.disk, "2", 5s));
        } else {
            ++failed;
            CHECK_THAT(outcome.error, Catch::Contains("tapback"));
        }
        // libxl's own cleaning up, whether or not it worked.
        const auto cleaned = scene.xl.detach_by_force(scene.disk);
        INFO("tapback said:\n" << scene.host.log());
        REQUIRE(cleaned.error == "");
    };
    at_every_step(scene, life, [&] { wait_until_forgotten(scene); });
    WARN(failed << " attaches ended with tapback");
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("restart: a guest can connect, work and leave while tapback is replaced", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    const auto tapdisks = scene.host.tapdisks();
    at_every_step(scene, [&] { check_serves(scene.host, scene.disk); });
    CHECK(scene.host.tapdisks() == tapdisks);
    scene.detach(scene.disk);
}

TEST_CASE("restart: a disk under load runs on, and is found again", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const auto tapdisks = scene.host.tapdisks();
    for (int time = 0; time < 5; ++time) {
        scene.host.replace_tapback();
        const ipc::Json entry = scene.host.entry(5, xvda);
        CHECK(entry.value("pid", 0) == tapdisks.at(0));
        CHECK(entry.value("backend-state", 0) == 4);
    }
    CHECK(scene.host.tapdisks() == tapdisks);
    CHECK(scene.host.stop_tapback() == 0);  // an ordinary end is as good
    scene.host.start_tapback();
    CHECK(scene.host.tapdisks() == tapdisks);
    guest.interrupt();
    const int status = guest.wait();
    INFO(guest.output());
    CHECK(status == 0);
    scene.detach(scene.disk);
}

TEST_CASE("restart: a disk in use can be detached while tapback is replaced", "[control]") {
    Scene scene(any_xl());
    for (unsigned changes = 1;; ++changes) {
        INFO("replaced after " << changes << " changes");
        scene.attach(scene.disk);
        Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        Interference interference(everything, changes, [&scene] { scene.host.replace_tapback(); });
        scene.detach(scene.disk);
        const int status = guest.wait();
        INFO(guest.output());
        CHECK(status == 0);
        const bool happened = interference.end();
        wait_until_forgotten(scene);
        if (!happened) break;
    }
}

TEST_CASE("restart: a domain can be destroyed under load while tapback is replaced", "[control]") {
    Scene scene(any_xl());
    for (unsigned changes = 1;; ++changes) {
        INFO("replaced after " << changes << " changes");
        scene.attach(scene.disk);
        Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        guest.kill();
        Interference interference(everything, changes, [&scene] { scene.host.replace_tapback(); });
        scene.xl.destroy_domain(5);
        CHECK(testing::wait_until([&] { return scene.host.tapdisks().empty(); }, 10s));
        scene.xl.create_domain(5);
        if (!interference.end()) break;
    }
}

TEST_CASE("restart: what happened while there was no tapback is caught up with", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    scene.host.kill_tapback();
    SECTION("the guest closed") {
        guest.interrupt();
        REQUIRE(testing::wait_until([&] { return scene.xl.frontend_node(scene.disk, "state") == "5"; }));
        scene.host.start_tapback();
        CHECK(guest.wait() == 0);
        check_serves(scene.host, scene.disk);
        scene.detach(scene.disk);
    }
    SECTION("the domain died") {
        guest.kill();
        scene.xl.before_step = [&scene](const std::string& step) {
            if (step == "destroy the domain") scene.host.start_tapback();
        };
        // Without tapback libxl gives up after 10 s, and removes the nodes.
        scene.xl.destroy_domain(5);
        CHECK(testing::wait_until([&] { return scene.host.tapdisks().empty(); }, 10s));
    }
    SECTION("the tapdisk died") {
        guest.kill();
        for (const pid_t pid : scene.host.tapdisks())
            testing::send_signal(pid, SIGKILL);
        scene.host.start_tapback();
        CHECK(scene.xl.detach_by_force(scene.disk).error == "");
    }
}

TEST_CASE("restart: an image stays locked when its tapdisk dies under the next tapback", "[control]") {
    Scene scene(any_xl());
    hold_the_dead(scene.host);
    const std::string image = scene.host.path("image-5-51712");
    scene.attach(scene.disk);
    const std::vector<pid_t> earlier = scene.host.storage_processes();
    scene.host.replace_tapback();
    const auto is_left = [&](pid_t pid) {
        const auto now = scene.host.storage_processes();
        return std::ranges::find(now, pid) != now.end();
    };
    REQUIRE(testing::wait_until([&] { return std::ranges::none_of(earlier, is_left); }));
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).value("state", "") == "waiting for the guest"; }));
    CHECK(testing::wait_until([&] { return scene.host.holds(image); }));
    CHECK_FALSE(has_open(scene.host.tapback_pid(), image));
    for (const pid_t pid : scene.host.tapdisks())
        testing::send_signal(pid, SIGKILL);
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).value("state", "") == "held"; }));
    LocalImageOpener opener;
    CHECK(testing::thrown([&] { opener.open(image, Access::read_write, Caching::direct); }).code() ==
          std::errc::device_or_resource_busy);
    Disk second = scene.disk;
    second.device = xvdb;
    CHECK_THAT(scene.xl.attach(second).error, Catch::Contains("in use by the disk 5/51712"));
    CHECK(scene.xl.detach_by_force(second).error == "");
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
    wait_until_forgotten(scene);
    CHECK(opener.open(image, Access::read_write, Caching::direct));
}

TEST_CASE("restart: an image that is paused is open nowhere, whichever tapback paused it", "[control]") {
    Scene scene(any_xl());
    const std::string image = scene.host.path("image-5-51712");
    scene.attach(scene.disk);
    scene.host.replace_tapback();
    CHECK(testing::wait_until([&] { return scene.host.holds(image); }));
    CHECK(scene.host.call("pause", {{"domain", 5}, {"device", xvda}}).error_message == "");
    CHECK_FALSE(scene.host.holds(image));
    CHECK(LocalImageOpener().open(image, Access::read_write, Caching::direct));
    CHECK(scene.host.call("resume", {{"domain", 5}, {"device", xvda}}).error_message == "");
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("restart: a tapdisk whose socket is gone serves on, is told of, and ends with its disk", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const auto tapdisks = scene.host.tapdisks();
    scene.host.kill_tapback();
    REQUIRE(std::filesystem::remove(scene.host.run_directory() + "/5-51712.sock"));
    // As an earlier version wrote it, too: without its process.
    if (GENERATE(false, true)) forget_process(scene.host);
    scene.host.start_tapback();
    CHECK(scene.host.entry(5, xvda).value("state", "") == "unreachable");
    // Without its process it is looked for first.
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).value("pid", 0) == tapdisks.at(0); }));
    const ipc::Json entry = scene.host.entry(5, xvda);
    CHECK(entry.value("state", "") == "unreachable");
    CHECK_THAT(entry.value("problem", ""), Catch::Contains("runs but cannot be asked"));
    CHECK(scene.host.tapdisks() == tapdisks);
    CHECK(scene.host.world().pages_mapped_by(0) > 0);
    guest.kill();
    scene.detach(scene.disk);
    CHECK(scene.host.tapdisks().empty());
    CHECK(scene.host.world().pages_mapped_by(0) == 0);
    LocalImageOpener opener;
    CHECK(opener.open(scene.host.path("image-5-51712"), Access::read_write, Caching::direct));
}

TEST_CASE("restart: a record without a process, as earlier versions wrote it, is read and completed", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    const auto tapdisks = scene.host.tapdisks();
    scene.host.kill_tapback();
    forget_process(scene.host);
    scene.host.start_tapback();
    CHECK(scene.host.entry(5, xvda).value("pid", 0) == tapdisks.at(0));
    CHECK(read_record(scene.host).at("process").at("pid") == tapdisks.at(0));
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("restart: with too few descriptors no disk is taken for one that is gone, nor for one that can be asked",
          "[control]") {
    Scene scene(Xl::v4_19);
    std::vector<Disk> disks;
    for (std::uint32_t i = 0; i < 4; ++i)
        disks.push_back(scene.disk_of(5, xvda + 16 * i));
    for (const Disk& disk : disks)
        scene.attach(disk);
    const auto tapdisks = scene.host.tapdisks();
    int unreachable = 0;
    // The least that a tapback without disks needs, and then one more at a time.
    for (int limit = 12; limit < 32; ++limit) {
        INFO("descriptors: " << limit);
        const std::string number = std::to_string(limit);
        scene.host.kill_tapback();
        scene.host.run_tapback_by(
            {"/usr/bin/prlimit", "--nofile=" + number + ':' + number, "/usr/bin/env",
             // Beside a disk that cannot be asked it waits, and tries again, for seconds.
             "HURRY=20", "LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so:" BLKTAP_LIB_DIR "/libhurriedclock.so"});
        const bool answers_clients = scene.host.try_tapback();
        CHECK(scene.host.tapdisks() == tapdisks);
        if (!answers_clients) continue;
        try {
            for (const Disk& disk : disks) {
                const ipc::Json address{{"domain", disk.domain}, {"device", disk.device}};
                const bool answers = scene.host.call("stats", address).error_code.empty();
                const ipc::Json entry = scene.host.entry(disk.domain, disk.device);
                INFO(entry.dump());
                CHECK(entry.value("state", "") != "held");
                if (!answers) CHECK(entry.value("state", "") == "unreachable");
                unreachable += answers ? 0 : 1;
            }
        } catch (const std::system_error&) {
            // No descriptor is left for a client.
        }
        CHECK(scene.host.tapdisks() == tapdisks);
    }
    CHECK(unreachable > 0);
    scene.host.run_tapback_by({});
    scene.host.replace_tapback();
    for (const Disk& disk : disks)
        scene.detach(disk);
}
