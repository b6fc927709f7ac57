// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// An upgrade keeps the disks: those that the programs of the version before serve run on under today's tapback, which
// marks their directories, and end as others do. The old programs are built by
// tests/control/upgrade/build-version-before.
#include <csignal>
#include <fstream>

#include "libblktap/base/version.hpp"
#include "tests/control/host/scene.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using Catch::Contains;
using namespace std::chrono_literals;

namespace {

constexpr const char* old_programs = BLKTAP_VERSION_BEFORE_DIR "/bin";

/// How a disk reaches tapback.
enum class Way { vbd, vbd3, block_tap };

/// A host that runs the version before.
struct Upgrade : Scene {
    explicit Upgrade(Way way) : Scene(way == Way::vbd ? Xl::v4_17 : Xl::v4_19) {
        const std::string today = xl.script;
        if (way == Way::block_tap) {
            use_block_tap(*this);
            xl.script_environment.front() = std::string("TOOLS=") + old_programs;
            disk.target = disk.target.substr(disk.target.find(':') + 1);
        } else {
            xl.script = std::string(old_programs) + "/block-tapdisk";
        }
        REQUIRE(host.stop_tapback() == 0);
        host.use_tapback(std::string(old_programs) + "/tapback");
        host.use_tapdisk(std::string(old_programs) + "/tapdisk");
        host.start_tapback();
        after_upgrade = [this, way, today] {
            if (way == Way::block_tap) {
                xl.script_environment.front() = "TOOLS=" BLKTAP_BIN_DIR;
            } else {
                xl.script = today;
            }
        };
    }
    /// Today's tapback in place of the old one, which is asked to end or killed.
    void upgrade() {
        const bool killed = GENERATE(false, true);
        if (killed) {
            host.kill_tapback();
        } else {
            REQUIRE(host.stop_tapback() == 0);
        }
        host.use_tapback(BLKTAP_BIN_DIR "/tapback");
        host.use_tapdisk(BLKTAP_BIN_DIR "/tapdisk");
        host.start_tapback();
        after_upgrade();
    }
    pid_t tapdisk() const {
        REQUIRE(host.tapdisks().size() == 1);
        return host.tapdisks().front();
    }
    std::string life() const { return xl.backend_node(disk, "tapdisk/life"); }
    ipc::Json record() const { return ipc::Json::parse(testing::read_file(host.run_directory() + "/5-51712.json")); }
    ipc::Json entry() const { return host.entry(5, xvda); }

    std::function<void()> after_upgrade;
};

Way any_way() {
    const Way way = GENERATE(Way::vbd, Way::vbd3, Way::block_tap);
    return way;
}

/// The exit status of a client of the version before.
int run_old_tap_ctl(const ControlHost& host, const std::vector<std::string>& words) {
    std::vector<std::string> command{std::string(old_programs) + "/tap-ctl"};
    command.insert(command.end(), words.begin(), words.end());
    testing::Process client(command, {.environment = host.environment(0), .output = host.path("old-tap-ctl")});
    const auto status = client.wait(20s);
    return status.value_or(-1);
}

}  // namespace

TEST_CASE("upgrade: a disk under load runs on, is marked, and is detached", "[control]") {
    Upgrade scene(any_way());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    REQUIRE(scene.life() == "none");
    REQUIRE_FALSE(scene.record().contains("life"));
    const pid_t tapdisk = scene.tapdisk();

    scene.upgrade();
    CHECK(scene.tapdisk() == tapdisk);
    REQUIRE(testing::wait_until([&] { return scene.life() != "none"; }));
    CHECK(testing::wait_until([&] { return scene.record().value("life", "") == scene.life(); }));
    CHECK(scene.entry().value("pid", 0) == tapdisk);
    CHECK(scene.entry().value("backend-state", 0) == 4);
    guest.interrupt();
    const int status = guest.wait();
    INFO(guest.output() << "\ntapback said:\n" << scene.host.log());
    CHECK(status == 0);
    scene.detach(scene.disk);
}

TEST_CASE("upgrade: a disk that no guest uses yet is used afterwards, and again by today's programs", "[control]") {
    Upgrade scene(any_way());
    scene.attach(scene.disk);
    const pid_t tapdisk = scene.tapdisk();
    scene.upgrade();
    check_serves(scene.host, scene.disk);
    CHECK(scene.tapdisk() == tapdisk);
    scene.detach(scene.disk);
    REQUIRE(testing::wait_until([&] { return scene.host.tapdisks().empty(); }));
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("upgrade: a disk of the version before pauses, resumes and grows", "[control]") {
    Upgrade scene(any_way());
    scene.attach(scene.disk);
    scene.upgrade();
    const ipc::Json vbd{{"domain", 5}, {"device", xvda}};
    CHECK(scene.host.call("pause", vbd).error_message == "");
    CHECK(scene.host.call("resume", vbd).error_message == "");
    ipc::Json larger = vbd;
    larger["size"] = 2 * image_size_bytes;
    CHECK(scene.host.call("resize", larger).error_message == "");
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("upgrade: a tapdisk of the version before dies, and its guest gets errors and no hanging requests",
          "[control]") {
    Upgrade scene(any_way());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    scene.upgrade();
    REQUIRE(testing::send_signal(scene.tapdisk(), SIGKILL));
    REQUIRE(testing::wait_until([&] { return scene.entry().value("state", "") != "open"; }));
    // Its recovery log is read by today's tapdisk, which answers what it had taken.
    const auto outcome = scene.xl.detach_by_force(scene.disk);
    INFO("tapback said:\n" << scene.host.log() << "\nthe guest said:\n" << guest.output());
    CHECK(outcome.error == "");
    CHECK(guest.wait() != 128 + SIGKILL);
}

TEST_CASE("upgrade: a tapdisk of the version before has an unknown version, and one that is started now has ours",
          "[control]") {
    Upgrade scene(Way::vbd);
    scene.attach(scene.disk);
    scene.upgrade();
    const std::string told = scene.host.path("tap-ctl");
    const auto list = [&] {
        testing::Process client({BLKTAP_BIN_DIR "/tap-ctl", "list", "--tapdisks"},
                                {.environment = scene.host.environment(0), .output = told});
        CHECK(client.wait(20s) == 0);
        return testing::read_file(told);
    };
    CHECK_THAT(list(), Catch::Matches("(.|\n)*  xvda    [0-9]+  -        -        (.|\n)*"));
    scene.detach(scene.disk);
    scene.attach(scene.disk);
    CHECK_THAT(list(), Catch::Matches("(.|\n)*  xvda    [0-9]+  " + std::string(version) + " +[0-9]+ s  (.|\n)*"));
    scene.detach(scene.disk);
}

TEST_CASE("upgrade: clients of the version before are answered", "[control]") {
    Upgrade scene(Way::vbd);
    scene.attach(scene.disk);
    scene.upgrade();
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"list"},
                                                                                       {"info", "5/xvda"},
                                                                                       {"stats", "5/xvda"},
                                                                                       {"pause", "5/xvda"},
                                                                                       {"resume", "5/xvda"},
                                                                                       {"status"}}) {
        INFO(words.front() << ": " << testing::read_file(scene.host.path("old-tap-ctl")));
        CHECK(run_old_tap_ctl(scene.host, words) == 0);
    }
    // Its hotplug program too: a disk that was attached by an xl.cfg of before may be attached while both are
    // installed.
    scene.detach(scene.disk);
    scene.xl.script = std::string(old_programs) + "/block-tapdisk";
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}
