// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The sandbox of the tapdisk that ships, under the tapback that ships: what the kernel says about it from outside, and
// what becomes of one that was taken over.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "tests/control/host/scene.hpp"
#include "tests/support/attempts/attempts.hpp"

using namespace blktap;
using namespace blktap::control_test;

namespace {

bool is_root() {
    return ::geteuid() == 0;
}

std::map<std::string, std::string> status_of(const std::string& process) {
    std::map<std::string, std::string> status;
    std::ifstream file("/proc/" + process + "/status");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(":\t");
        if (colon != std::string::npos) status[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return status;
}

std::string namespace_of(pid_t pid, const std::string& name) {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/" + name);
}

struct Confined : Scene {
    explicit Confined(const std::string& config = "") : Scene(Xl::v4_19) {
        host.configure("deaths-per-minute = 0\n" + config);
        host.replace_tapback();
    }
    pid_t tapdisk(const Disk& which) const { return host.entry(which.domain, which.device).value("pid", 0); }
    pid_t tapdisk() const { return tapdisk(disk); }
    /// Tapdisks from now on try what they are told to.
    void take_over_tapdisks() {
        REQUIRE(host.stop_tapback() == 0);
        host.run_tapback_by(
            {"/usr/bin/env", "LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so:" BLKTAP_LIB_DIR "/libattempts.so"});
        host.start_tapback();
    }
    /// Lets the tapdisk try it. False: it lives on.
    bool dies_of(int attempt) const {
        const pid_t pid = tapdisk();
        REQUIRE(pid > 0);
        sigval value{};
        value.sival_int = attempt;
        REQUIRE(::sigqueue(pid, SIGUSR1, value) == 0);
        return testing::wait_until([&] {
            const ipc::Json entry = host.entry(5, xvda);
            const std::string state = entry.value("state", "");
            return entry.value("pid", 0) != pid && (state == "connected" || state == "waiting for the guest");
        });
    }
    std::string about() const {
        const ipc::Reply reply = host.call("about", {{"domain", 5}, {"device", xvda}});
        return reply.result.value("sandbox", "");
    }
};

}  // namespace

TEST_CASE("sandbox: from outside, a tapdisk is a user of its own without rights, in an empty root", "[control]") {
    Confined scene;
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const pid_t pid = scene.tapdisk();
    const std::string process = std::to_string(pid);
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + process + "/task")) {
        auto status = status_of(process + "/task/" + task.path().filename().string());
        CHECK(status["CapEff"] == "0000000000000000");
        CHECK(status["CapPrm"] == "0000000000000000");
        CHECK(status["NoNewPrivs"] == "1");
        CHECK(status["Seccomp"] == "2");
        if (!is_root()) continue;
        const std::string user = std::to_string(0x78000000 + pid);
        CHECK(status["Uid"] == user + '\t' + user + '\t' + user + '\t' + user);
        CHECK(status["Gid"] == status["Uid"]);
        CHECK(status["CapBnd"] == "0000000000000000");
        CHECK(status["Groups"].find_first_not_of(' ') == std::string::npos);
    }
    CHECK(scene.host.logged("sandbox=on") + scene.host.logged("sandbox=\"on ") > 0);
    if (is_root()) {
        CHECK((scene.about() == "on" || scene.about() == "on without control group"));
        CHECK(std::filesystem::is_empty("/proc/" + process + "/root"));
        for (const char* name : {"mnt", "net", "ipc", "uts", "pid"}) {
            CAPTURE(name);
            CHECK(namespace_of(pid, name) != namespace_of(::getpid(), name));
        }
    }
    CHECK_FALSE(std::filesystem::exists("/proc/" + process + "/root/etc"));
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("sandbox: two tapdisks are different users, and see no process but themselves", "[control]") {
    if (!is_root()) return;
    Confined scene;
    const Disk other = scene.disk_of(5, xvdb);
    scene.attach(scene.disk);
    scene.attach(other);
    const pid_t one = scene.tapdisk(), two = scene.tapdisk(other);
    CHECK(status_of(std::to_string(one))["Uid"] != status_of(std::to_string(two))["Uid"]);
    CHECK(namespace_of(one, "pid") != namespace_of(two, "pid"));
    CHECK(status_of(std::to_string(two))["NSpid"] == std::to_string(two) + "\t1");
    scene.detach(other);
    scene.detach(scene.disk);
}

TEST_CASE("sandbox: a tapdisk that was taken over ends at the first thing that it tries, which is named", "[control]") {
    Confined scene;
    scene.take_over_tapdisks();
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--timeout", "120"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    for (int i = 0; i < testing::attempt_count; ++i) {
        CAPTURE(testing::attempts[i].what, testing::attempts[i].call);
        INFO("tapback said:\n" << scene.host.log());
        REQUIRE(scene.dies_of(i));
        CHECK(scene.host.logged("killed by signal 31") == static_cast<std::size_t>(i) + 1);
    }
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("sandbox: the list of disks says which system call a tapdisk made, where the kernel tells", "[control]") {
    Confined scene("");
    hold_the_dead(scene.host);
    scene.take_over_tapdisks();
    scene.attach(scene.disk);
    const pid_t pid = scene.tapdisk();
    sigval value{};
    for (int i = 0; i < testing::attempt_count; ++i)
        if (std::string(testing::attempts[i].what) == "make a socket") value.sival_int = i;
    REQUIRE(::sigqueue(pid, SIGUSR1, value) == 0);
    const auto problem = [&] { return scene.host.entry(5, xvda).value("problem", ""); };
    CHECK(testing::wait_until([&] { return problem().find("sandbox forbids") != std::string::npos; }));
    CHECK_THAT(problem(), Catch::Contains("it called socket (number ") || Catch::Contains("it made a system call"));
    scene.detach(scene.disk);
}

TEST_CASE("sandbox: for debugging a tapdisk itself names the call, and the list says that it is so", "[control]") {
    Confined scene("sandbox = debug\n");
    scene.take_over_tapdisks();
    scene.attach(scene.disk);
    REQUIRE(scene.dies_of(0));
    CHECK(testing::wait_until([&] { return scene.host.logged("sandbox.violation call=openat") == 1; }));
    CHECK(scene.host.call("list").result.value("sandbox", "") == "debug");
    CHECK_THAT(scene.about(), Catch::StartsWith("debug"));
    scene.detach(scene.disk);
}

TEST_CASE("sandbox: it can be turned off, which the log and the list say", "[control]") {
    Confined scene("sandbox = off\n");
    scene.attach(scene.disk);
    auto status = status_of(std::to_string(scene.tapdisk()));
    CHECK(status["Seccomp"] == "0");
    CHECK(status["CapEff"] == status_of("self")["CapEff"]);
    CHECK(scene.about() == "off");
    CHECK(scene.host.call("list").result.value("sandbox", "") == "off");
    CHECK(scene.host.logged("sandbox mode=off") == 1);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}
