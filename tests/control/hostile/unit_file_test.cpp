// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapback with no more capabilities than its systemd unit leaves to it. Whether the unit names them with a reason, and
// has no setting that takes guests down, is checked by tests/house/service.py.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;

namespace {

/// "CAP_KILL CAP_SETUID ..." of the unit.
std::string unit_capabilities() {
    std::ifstream unit(BLKTAP_SOURCE_DIR "/control/systemd/tapback.service.in");
    for (std::string line; std::getline(unit, line);) {
        const std::string key = "CapabilityBoundingSet=";
        if (line.starts_with(key)) return line.substr(key.size());
    }
    FAIL("the unit names no capabilities");
    return "";
}

/// The same for setpriv; a container may have fewer, and gets none that it lacks.
std::string bounding_set() {
    std::istringstream names(unit_capabilities());
    std::string kept = "--bounding-set=-all";
    for (std::string name; names >> name;) {
        std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::tolower(letter); });
        kept += ",+" + name.substr(4);
    }
    return kept;
}

}  // namespace

TEST_CASE("unit file: tapback does all its work with the capabilities of its unit", "[control][root]") {
    if (::geteuid() != 0) return;
    Scene scene(any_xl());
    scene.host.run_tapback_by({"/usr/bin/setpriv", bounding_set()});
    scene.host.replace_tapback();
    // Images are other users' files.
    const std::string image = scene.disk.target.substr(4);
    REQUIRE(::chown(image.c_str(), 1234, 1234) == 0);
    REQUIRE(::chmod(image.c_str(), 0600) == 0);
    scene.attach(scene.disk);
    {
        Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        const pid_t old = scene.host.tapdisks().at(0);
        REQUIRE(testing::send_signal(old, SIGKILL));
        CHECK(testing::wait_until([&] {
            const ipc::Json entry = scene.host.entry(5, xvda);
            return entry.value("pid", 0) != old && entry.value("state", "") == "connected";
        }));
        scene.host.replace_tapback();
        guest.interrupt();
        CHECK(guest.wait() == 0);
    }
    const Disk second{.domain = 5, .device = xvdb, .target = scene.disk.target};
    CHECK_THAT(scene.xl.attach(second).error, Catch::Contains("xvda") || Catch::Contains("51712"));
    scene.xl.detach_by_force(second);
    scene.detach(scene.disk);
    // A container may lack the right that this one needs.
    CHECK(scene.host.logged("not permitted") == scene.host.logged("io_flusher=\"no: Operation not permitted"));
}
