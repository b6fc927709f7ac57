// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/hotplug/blkback.hpp"

#include <filesystem>

#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

namespace blktap::hotplug {
namespace {

using testing::TemporaryDirectory;

const ipc::VbdAddress vbd{ipc::VbdAddress::Kind::vbd, 5, 51712};
constexpr const char* driver = "bus/xen-backend/drivers/vbd";

}  // namespace

TEST_CASE("blkback: the device is named as the kernel names it", "[unit][control]") {
    const TemporaryDirectory sysfs;
    std::filesystem::create_directories(sysfs.path(driver));
    const std::string unbind = sysfs.make_file(std::string(driver) + "/unbind", 0);
    CHECK(unbind_from_blkback(sysfs.path(""), vbd));
    CHECK(testing::read_file(unbind) == "vbd-5-51712");
}

TEST_CASE("blkback: a driver that is not loaded has nothing to let go", "[unit][control]") {
    const TemporaryDirectory sysfs;
    CHECK_FALSE(unbind_from_blkback(sysfs.path(""), vbd));
}

TEST_CASE("blkback: what the kernel refuses is an error that names the device", "[unit][control]") {
    const TemporaryDirectory sysfs;
    std::filesystem::create_directories(sysfs.path(driver));
    std::filesystem::create_symlink("/dev/full", sysfs.path(std::string(driver) + "/unbind"));
    const auto error = testing::thrown([&] { unbind_from_blkback(sysfs.path(""), vbd); });
    CHECK(error.code() == std::errc::no_space_on_device);
    CHECK_THAT(error.what(), Catch::Contains("vbd-5-51712"));
}

TEST_CASE("blkback: sysfs is where the environment says", "[unit][control]") {
    ::unsetenv("TAPDISK_SYSFS");
    CHECK(default_sysfs() == "/sys");
    ::setenv("TAPDISK_SYSFS", "/tmp/sys", 1);
    CHECK(default_sysfs() == "/tmp/sys");
    ::unsetenv("TAPDISK_SYSFS");
}

}  // namespace blktap::hotplug
