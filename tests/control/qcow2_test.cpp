// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A disk from a qcow2 image whose backing file its tapdisk gets from tapback; and a snapshot of it, taken while a guest
// uses it: pause, an image over it, resume from that.
#include "tests/control/scene.hpp"
#include "tests/support/qemu_img.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

/// The disk is an image over a backing file, which it names as its neighbour.
Scene& use_qcow2(Scene& scene) {
    testing::make_qcow2(scene.host.path("base.qcow2"), "8M");
    const std::string path = scene.host.path("disk.qcow2");
    testing::make_qcow2(path, "8M", "", {"-b", "base.qcow2", "-F", "qcow2"});
    scene.disk.target = "qcow2:" + path;
    return scene;
}

ipc::Json vbd_of(const Disk& disk) {
    return {{"domain", disk.domain}, {"device", disk.device}};
}

}  // namespace

TEST_CASE("qcow2: an image over a backing file serves verified I/O, also by a tapback that came later", "[control]") {
    Scene scene(any_xl());
    use_qcow2(scene);
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.host.replace_tapback();
    check_serves(scene.host, scene.disk);
    CHECK(testing::run_qemu_img({"info", scene.host.path("disk.qcow2")}) != 0);  // it is locked
    scene.detach(scene.disk);
    CHECK(testing::check_qcow2(scene.host.path("disk.qcow2")) == 0);
    CHECK(testing::check_qcow2(scene.host.path("base.qcow2")) == 0);
}

TEST_CASE("qcow2: a guest goes on over a snapshot that was taken while it ran, and can have a larger disk",
          "[control]") {
    Scene scene(Xl::v4_19);
    use_qcow2(scene);
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--flush-every", "50"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    REQUIRE(scene.host.call("pause", vbd_of(scene.disk)).error_message == "");
    const std::string snapshot = scene.host.path("snapshot.qcow2");
    testing::make_qcow2(snapshot, "8M", "", {"-b", "disk.qcow2", "-F", "qcow2"});
    ipc::Json arguments = vbd_of(scene.disk);
    arguments["image"] = {{"format", "qcow2"}, {"path", snapshot}};
    REQUIRE(scene.host.call("resume", arguments).error_message == "");
    arguments = vbd_of(scene.disk);
    arguments["size"] = 16 << 20;
    REQUIRE(scene.host.call("resize", arguments).error_message == "");
    CHECK(scene.xl.backend_node(scene.disk, "sectors") == std::to_string((16 << 20) / 512));
    guest.interrupt();
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output());
    CHECK(status == 0);
    scene.detach(scene.disk);
    for (const char* name : {"base.qcow2", "disk.qcow2", "snapshot.qcow2"})
        CHECK(testing::check_qcow2(scene.host.path(name)) == 0);
}
