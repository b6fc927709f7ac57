// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Full file systems, and block devices in place of files.
#include "drivers/vhd/file_end.hpp"
#include "tests/support/images/image_trials.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// Whether the file ends with a hole: its last bytes may be mistaken for a footer, so they must not be data.
bool ends_with_hole(const std::string& path) {
    const std::uint64_t size = file_size(path);
    for (std::uint64_t at = size - vhd::tail_bytes; at < size; at += 8) {
        if (FileBytes{path}.get<std::uint64_t>(at) != 0) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("vhd driver: on a full file system writes fail with ENOSPC, and succeed when there is space",
          "[unit][vhd][root]") {
    if (!SmallFileSystem::available(SmallFileSystem::Kind::ext4)) {
        WARN("needs the right to mount, and loop devices");
        return;
    }
    const SmallFileSystem small{SmallFileSystem::Kind::ext4, 40 << 20};
    const std::string path = make({.path = small.path("disk"), .size_bytes = 64 << 20, .block_bytes = 1 << 20});
    small.fill(20 << 20);
    ModelDisk model{131072};
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        const std::uint64_t sector = write_until_full(harness, *driver, model, 60000);
        CHECK(write_stamp(harness, *driver, model, {sector, 1000}, 8) == std::errc::no_space_on_device);
        CHECK(ends_with_hole(path));
        small.free_space();
        CHECK_FALSE(write_stamp(harness, *driver, model, {sector, 1000}, 9));
        CHECK_FALSE(harness.flush(*driver));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    const vhd::Findings findings = check_vhd(path);
    CHECK(findings.errors == 0);
    CHECK(findings.unused_bytes == 0);
}

TEST_CASE("vhd driver: a file that is written to never ends with a guest's data", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = 4 << 20, .block_bytes = 1 << 20});
    ModelDisk model{8192};
    DriverHarness harness;
    const auto driver = harness.open("vhd:" + path);
    CHECK_FALSE(write_stamp(harness, *driver, model, {0, 2048}, 1));
    CHECK(ends_with_hole(path));
    // As after a kill: the last block's end is the end of what is used, and the next life goes on behind it.
    const std::string dead = killed(path);
    {
        DriverHarness other;
        const auto again = other.open("vhd:" + dead);
        CHECK(ends_with_hole(dead));
        CHECK_FALSE(write_stamp(other, *again, model, {2048, 2048}, 2));
        CHECK(ends_with_hole(dead));
    }
    CHECK(check_vhd(dead).errors == 0);
}

TEST_CASE("vhd driver: tables and a bitmap that share one of the disk's sectors are not written", "[unit][vhd][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const std::string parent = make({.path = directory.path("parent"), .size_bytes = 20ULL << 30});
    const std::string child = make({.path = directory.path("child"), .size_bytes = 20ULL << 30, .parent = parent});
    ModelDisk model{4096};
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + child);
        CHECK_FALSE(write_stamp(harness, *driver, model, {0, 8}, 1));
    }
    std::filesystem::resize_file(child, round_up(file_size(child), 4096));
    const LoopDevice device{child, 4096};
    const auto error = thrown([&] { DriverHarness{}.open("vhd:" + device.path()); });
    CHECK(error.code() == Errc::direct_io_unsupported);
    CHECK_THAT(error.what(), Catch::Contains("share"));
}

TEST_CASE("vhd driver: an image on a block device uses what there is, and shows nothing that was there before",
          "[unit][vhd][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const std::uint32_t block = GENERATE(512U, 4096U);
    CAPTURE(block);
    const std::string image = make({.path = directory.path("image"), .size_bytes = 64 << 20});
    const std::string file = directory.make_file("device", 12 << 20);
    std::ofstream{file, std::ios::binary} << std::string(12 << 20, 'x');
    // As XenServer has it on a logical volume: the footer in the device's last sector.
    const std::uint64_t described = file_size(image) - vhd::footer_bytes;
    for (std::uint64_t at = 0; at < described; at += 8)
        FileBytes{file}.put(at, FileBytes{image}.get<std::uint64_t>(at));
    for (std::uint64_t at = 0; at < vhd::footer_bytes; at += 8)
        FileBytes{file}.put((12 << 20) - vhd::footer_bytes + at, FileBytes{image}.get<std::uint64_t>(at));
    const LoopDevice device{file, block};
    ModelDisk model{131072};
    for (int life = 0; life < 2; ++life) {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + device.path());
        CHECK_FALSE(driver->space());
        CHECK_FALSE(driver->info().discard);
        for (std::uint64_t block_number = 0; block_number < 5; ++block_number)
            CHECK_FALSE(write_stamp(harness, *driver, model, {block_number * 4096 + 16, 8}, block_number + 1));
        CHECK(write_stamp(harness, *driver, model, {5 * 4096, 8}, 1) == std::errc::no_space_on_device);
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK_FALSE(check_vhd(device.path()).end_footer_missing);
}
