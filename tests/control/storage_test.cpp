// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The storage under a disk as the operator meets it through tapback: its size, and what is wrong with it.
#include <csignal>
#include <sys/resource.h>
#include <thread>

#include "tests/control/host/scene.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;
using blktap::testing::SmallFileSystem;

namespace {

ipc::Json with_size(const Disk& disk, std::uint64_t size_bytes) {
    return {{"domain", disk.domain}, {"device", disk.device}, {"size", size_bytes}};
}

/// How long a file of `process` may become; RLIM_INFINITY: as long as it likes.
void limit_files(pid_t process, rlim_t size_bytes) {
    const rlimit limit{size_bytes, RLIM_INFINITY};
    REQUIRE(::prlimit(process, RLIMIT_FSIZE, &limit, nullptr) == 0);
}

template <class Condition>
bool comes_true(Condition condition) {
    for (int tries = 0; tries < 600; ++tries) {
        if (condition()) return true;
        std::this_thread::sleep_for(50ms);
    }
    return false;
}

}  // namespace

TEST_CASE("resize: a connected guest finds the new size beside a state that was written again", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "60"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const ipc::Reply smaller = scene.host.call("resize", with_size(scene.disk, image_size_bytes / 2));
    CHECK(smaller.error_code == "system:EINVAL");
    CHECK(scene.xl.backend_node(scene.disk, "sectors") == std::to_string(image_size_bytes / 512));
    const ipc::Reply larger = scene.host.call("resize", with_size(scene.disk, 2 * image_size_bytes));
    CHECK(larger.error_message == "");
    CHECK(scene.xl.backend_node(scene.disk, "sectors") == std::to_string(2 * image_size_bytes / 512));
    CHECK(scene.xl.backend_node(scene.disk, "state") == "4");
    guest.interrupt();
    CHECK(guest.wait() == 0);
    // The next guest has it from the start.
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("full disk: tapback's list and xenstore say so, also after a restart of tapback, until there is space",
          "[control][root]") {
    if (!SmallFileSystem::available()) {
        WARN("needs root and the right to mount: skipped");
        return;
    }
    const SmallFileSystem small{SmallFileSystem::Kind::tmpfs, 64 << 20};
    Scene scene(Xl::v4_19);
    scene.disk.target = "raw:" + small.make_file("image") + "?size=32M&buffered=yes";
    small.fill(8 << 20);
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--requests", "3000", "--size", "64k", "--flush-every", "50"}));
    const auto problem = [&] { return scene.host.entry(scene.disk.domain, scene.disk.device).value("problem", ""); };
    const auto says = [&] { return problem().find("no space") != std::string::npos; };
    REQUIRE(comes_true(says));
    CHECK(comes_true(
        [&] { return scene.xl.backend_node(scene.disk, "tapdisk/status").find("no space") != std::string::npos; }));
    scene.host.replace_tapback();
    REQUIRE(comes_true(says));
    small.free_space();
    CHECK(guest.wait() == 0);
    CHECK(comes_true([&] { return problem().empty(); }));
    CHECK(comes_true(
        [&] { return scene.xl.backend_node(scene.disk, "tapdisk/status").find("no space") == std::string::npos; }));
    scene.detach(scene.disk);
}

TEST_CASE("file size limit: tapback says that it cannot write a disk's record, and lives", "[control]") {
    Scene scene(any_xl());
    limit_files(scene.host.tapback_pid(), 0);
    CHECK_THAT(scene.xl.attach(scene.disk).error, Catch::Contains("5-51712.json"));
    limit_files(scene.host.tapback_pid(), RLIM_INFINITY);
    scene.xl.detach(scene.disk);
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("file size limit: tap-ctl says that an image became too large", "[control]") {
    const ControlHost host;
    const std::string limited = "ulimit -f 1; exec \"$0\" \"$@\"";
    const testing::ProcessOptions options{.output = host.path("said")};
    CHECK(testing::run({"/bin/sh", "-c", limited, BLKTAP_BIN_DIR "/tap-ctl", "image", "create",
                        "qcow2:" + host.path("new"), "--size", "10M"},
                       options, 60s) == 1);
    CHECK_THAT(testing::read_file(host.path("said")), Catch::Contains("File too large"));
}
