// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/file_end.hpp"
#include "tests/support/images/image_trials.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;

TEST_CASE("qcow2 driver: on a full file system writes fail with ENOSPC, and succeed when there is space",
          "[unit][qcow2][root]") {
    if (!SmallFileSystem::available(SmallFileSystem::Kind::ext4)) {
        WARN("needs the right to mount, and loop devices");
        return;
    }
    const SmallFileSystem small{SmallFileSystem::Kind::ext4, 24 << 20};
    const std::string options = GENERATE("", "cluster_size=4096", "cluster_size=512");
    CAPTURE(options);
    const std::string path = make_qcow2(small.path("disk"), "64M", options);
    ModelDisk model{131072};
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        const std::uint64_t sector = write_until_full(harness, *driver, model, 100000);
        const Mapping memory = Mapping::anonymous(sector * 512);
        REQUIRE_FALSE(harness.read(*driver, {0, sector}, memory.bytes().first(sector * 512)));
        CHECK_FALSE(model.first_difference({0, sector}, memory.bytes()));
        CHECK_FALSE(harness.discard(*driver, {2048, 10240}));
        model.zero({2048, 10240});
        CHECK_FALSE(write_stamp(harness, *driver, model, {sector, 1000}, 9));
        CHECK_FALSE(harness.flush(*driver));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK(check_qcow2(path) == 0);
}

TEST_CASE("qcow2 driver: closed, the file ends with its last cluster", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "64M");
    DriverHarness harness;
    ModelDisk model{131072};
    {
        const auto driver = harness.open("qcow2:" + path);
        CHECK_FALSE(write_stamp(harness, *driver, model, {0, 2048}, 1));
        CHECK(driver->activity().growths > 0);
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK(status.st_size > 8 << 20);
    }
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK(status.st_size < 2 << 20);
    CHECK(check_qcow2(path) == 0);
}
