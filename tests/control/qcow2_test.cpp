// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A disk from a qcow2 image whose backing file its tapdisk gets from tapback; and a snapshot of it, taken while a guest
// uses it.
#include <filesystem>

#include "tests/control/host/scene.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/places.hpp"

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

/// What tap-ctl has to complain about.
std::string tap_ctl(const Scene& scene, std::vector<std::string> words) {
    words.insert(words.begin(), {BLKTAP_BIN_DIR "/tap-ctl", "--socket", scene.host.run_directory() + "/tapback.sock"});
    const std::string output = scene.host.path("tap-ctl");
    std::filesystem::remove(output);
    const int status =
        testing::run(words, {.environment = scene.host.environment(0), .output = output}, std::chrono::seconds(60));
    const std::string said = testing::read_file(output);
    return status == 0 ? "" : said.empty() ? "failed" : said;
}

std::string image_path(const Scene& scene) {
    return scene.host.entry(scene.disk.domain, scene.disk.device).at("image").at("path");
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
    Scene scene(any_xl());
    const bool begins_raw = GENERATE(false, true);
    if (!begins_raw) use_qcow2(scene);
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--flush-every", "50"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const std::string first = scene.host.path("first.qcow2");
    const std::string second = scene.host.path("second.qcow2");
    REQUIRE(tap_ctl(scene, {"image", "snapshot", "5/xvda", "qcow2:" + first, "--relative"}) == "");
    // Nobody writes what the snapshot keeps.
    const std::string base = scene.disk.target;
    CHECK_THAT(tap_ctl(scene, {"image", "resize", base, "1T"}), Catch::Contains("in use"));
    CHECK_THAT(tap_ctl(scene, {"image", "snapshot", "qcow2:" + first, "qcow2:" + second}), Catch::Contains("in use"));
    // A tapback that begins anew knows which image it is by now; and a snapshot has a snapshot, found by its image.
    scene.host.replace_tapback();
    REQUIRE(image_path(scene) == first);
    REQUIRE(tap_ctl(scene, {"image", "snapshot", first, "qcow2:" + second}) == "");
    REQUIRE(image_path(scene) == second);
    REQUIRE(tap_ctl(scene, {"resize", second, "16M"}) == "");
    CHECK(scene.xl.backend_node(scene.disk, "sectors") == std::to_string((16 << 20) / 512));
    guest.interrupt();
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output());
    CHECK(status == 0);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
    for (const std::string& path : {first, second})
        CHECK(testing::check_qcow2(path) == 0);
}

TEST_CASE("qcow2: a base beside the image's folder needs a setting, and a disk that has one keeps it", "[control]") {
    Scene scene(Xl::v4_19);
    std::filesystem::create_directory(scene.host.path("vm"));
    testing::make_qcow2(scene.host.path("base.qcow2"), "8M");
    const std::string path = scene.host.path("vm/disk.qcow2");
    testing::make_qcow2(path, "8M", "", {"-b", "../base.qcow2", "-F", "qcow2"});
    scene.disk.target = "qcow2:" + path;
    scene.host.configure("backing-directories = " + scene.host.path("") + "\n");
    scene.host.replace_tapback();
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.host.configure("# all defaults\n");
    scene.host.replace_tapback();
    check_serves(scene.host, scene.disk);
    CHECK(tap_ctl(scene, {"pause", "5/xvda"}) == "");
    CHECK(tap_ctl(scene, {"resume", "5/xvda"}) == "");
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
    CHECK_THAT(scene.xl.attach(scene.disk).error,
               Catch::Contains("only the image " + path) && Catch::Contains("backing-directories (none)"));
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
}

TEST_CASE("qcow2: a snapshot that tapback refuses leaves the guest with its disk, and no file", "[control]") {
    Scene scene(Xl::v4_19);
    use_qcow2(scene);
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600", "--flush-every", "50"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const testing::TemporaryDirectory elsewhere;
    scene.host.configure("image-directories = " + scene.host.path("") + "\n");
    scene.host.replace_tapback();
    const std::string outside = elsewhere.path("outside.qcow2");
    CHECK_THAT(tap_ctl(scene, {"image", "snapshot", "5/xvda", "qcow2:" + outside}),
               Catch::Contains("outside of image-directories"));
    CHECK_FALSE(std::filesystem::exists(outside));
    CHECK(image_path(scene) == scene.host.path("disk.qcow2"));
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
    CHECK(testing::check_qcow2(scene.host.path("disk.qcow2")) == 0);
}
