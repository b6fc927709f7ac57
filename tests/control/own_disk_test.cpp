// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Disks that dom0 itself has from us: one that is in use stays, and its kernel gets the answers that it waits for.
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

struct OwnDisk {
    ControlHost host{};
    Toolstack xl{host, Xl::v4_19};
    Disk disk{.domain = 0};
    const ipc::Json vbd{{"domain", 0}, {"device", xvda}};

    OwnDisk() { std::filesystem::create_directories(device() + "/block/xvda/holders"); }
    /// As the kernel shows it.
    std::string device() const { return host.path("sysfs/devices/vbd-51712"); }
    void set_number(const std::string& number) const { std::ofstream(device() + "/block/xvda/dev") << number << '\n'; }
    /// The number of something that is mounted wherever a test runs.
    void mount() const {
        struct stat status {};
        REQUIRE(::stat("/proc", &status) == 0);
        set_number(std::to_string(major(status.st_dev)) + ':' + std::to_string(minor(status.st_dev)));
    }
    void plug() const {
        ipc::Json arguments = vbd;
        arguments["image"] = {{"format", "raw"}, {"path", host.make_image("image", image_size_bytes)}};
        REQUIRE(host.call("plug", arguments).error_message == "");
    }
    ipc::Reply unplug(bool force) const {
        ipc::Json arguments = vbd;
        arguments["force"] = force;
        return host.call("unplug", arguments);
    }
};

}  // namespace

TEST_CASE("own disk: one that is mounted or held is not unplugged", "[control]") {
    OwnDisk it;
    it.plug();
    const std::string reason =
        GENERATE("0/51712 (xvda): in use: mounted on /proc", "0/51712 (xvda): in use: by the device dm-0");
    if (reason.ends_with("/proc")) {
        it.mount();
    } else {
        it.set_number("202:0");
        std::filesystem::create_directories(it.device() + "/block/xvda/holders/dm-0");
    }
    for (int i = 0; i < 2; ++i) {
        const ipc::Reply reply = it.unplug(false);
        CHECK(reply.error_code == "system:EBUSY");
        CHECK_THAT(reply.error_message, Catch::StartsWith(reason));
    }
    CHECK(it.host.entry(0, xvda).value("state", "") == "waiting for the guest");
    CHECK(it.xl.backend_node(it.disk, "state") == "2");
    CHECK(it.xl.backend_node(it.disk, "online") == "1");
    const bool force = GENERATE(false, true);
    if (!force) std::filesystem::remove_all(it.device());  // nobody uses it any more
    CHECK(it.unplug(force).error_message == "");
    CHECK(it.host.entry(0, xvda).is_null());
}

TEST_CASE("own disk: a mounted one is not given up for a script that xl did not call", "[control]") {
    OwnDisk it;
    it.disk.target = "raw:" + it.host.make_image("image", image_size_bytes);
    REQUIRE(it.xl.attach(it.disk).error == "");
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    it.mount();
    CHECK(it.xl.run_script(it.disk, "remove").okay());  // its status is nobody's business
    CHECK(it.host.entry(0, xvda).value("state", "") == "connected");
    CHECK(guest.running());
    CHECK(it.xl.detach(it.disk).error == "");  // xl tells the kernel before it asks us
    CHECK(guest.wait() == 0);
}

TEST_CASE("own disk: the rings are kept for as long as the kernel waits for the end of its device", "[control]") {
    OwnDisk it;
    it.disk.target = "raw:" + it.host.make_image("image", image_size_bytes);
    REQUIRE(it.xl.attach(it.disk).error == "");
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600", "--never-close"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    // By force xl removes the frontend's nodes first, and gives up waiting later.
    CHECK_THAT(it.xl.detach_by_force(it.disk, 1s).error, Catch::Contains("did not close"));
    CHECK(it.host.world().pages_mapped_by(0) > 0);
    CHECK(it.host.tapdisks().size() == 1);
    std::filesystem::remove_all(it.device());
    CHECK(testing::wait_until([&] { return it.host.tapdisks().empty(); }, 15s));
    CHECK(it.host.world().pages_mapped_by(0) == 0);
    guest.kill();
}
