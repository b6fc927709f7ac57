// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/resize.hpp"

#include "tests/support/images/image_trials.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;

namespace {

constexpr std::uint64_t large = 262144;  // sectors: 128 MiB

/// qemu-img sees a disk of that size and these contents.
void check_with_qemu(const TemporaryDirectory& directory, const std::string& path, const ModelDisk& model) {
    if (!qemu_img_available()) return;
    const std::string raw = directory.path("seen");
    qemu_img({"convert", "-f", "vpc", "-O", "raw", path, raw});
    CHECK(file_size(raw) == model.size_sectors() * 512);
    DriverHarness harness;
    CHECK_FALSE(find_difference(harness, *harness.open("raw:" + raw), model));
}

}  // namespace

TEST_CASE("vhd resize: the disk is larger, also for qemu-img, and its new part is zeros that can be written",
          "[unit][vhd]") {
    const TemporaryDirectory directory;
    const bool fixed = GENERATE(true, false);
    const bool written_before = GENERATE(true, false);
    const std::string path = make({.path = directory.path("disk"), .size_bytes = 1 << 20, .fixed = fixed});
    ModelDisk model{large};
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        if (written_before) REQUIRE_FALSE(write_stamp(harness, *driver, model, {100, 1000}, 1));
        REQUIRE_FALSE(resize(harness, *driver, 5000));
        REQUIRE_FALSE(resize(harness, *driver, large));
        CHECK(driver->info().size_sectors == large);
        CHECK_FALSE(find_difference(harness, *driver, model));
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {large - 536, 536}, 2));
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {2000, 4000}, 3));
        CHECK_FALSE(harness.flush(*driver));
    }
    CHECK(check_vhd(path).errors == 0);
    check_with_qemu(directory, path, model);
    DriverHarness harness;
    const auto driver = harness.open("vhd:" + path);
    CHECK(driver->info().size_sectors == large);
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("vhd resize: killed afterwards, the disk has the new size", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path =
        make({.path = directory.path("disk"), .size_bytes = 1 << 20, .fixed = GENERATE(true, false)});
    DriverHarness harness;
    const auto driver = harness.open("vhd:" + path);
    const std::uint64_t sectors = GENERATE(2049U, 4096U, 100000U);
    REQUIRE_FALSE(resize(harness, *driver, sectors));
    CHECK(open_vhd(killed(path)).chain.front().size_bytes == sectors * 512);
}

TEST_CASE("vhd resize: writes go on meanwhile", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path =
        make({.path = directory.path("disk"), .size_bytes = 16 << 20, .block_bytes = GENERATE(4096U, 1U << 20)});
    ModelDisk model{large};
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        grow_during_writes(harness, *driver, model, {.sectors = large});
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {large - 8, 8}, 1000));
    }
    CHECK(check_vhd(path).errors == 0);
    check_with_qemu(directory, path, model);
}

TEST_CASE("vhd resize: over a parent the new part is zeros, whatever the parent's file has behind its disk",
          "[unit][vhd]") {
    const TemporaryDirectory directory;
    make({.path = directory.path("base"), .size_bytes = 1 << 20, .fixed = true});
    const std::string path = make({.path = directory.path("disk"), .size_bytes = 1 << 20, .parent = "base"});
    ModelDisk model{large};
    DriverHarness harness;
    {
        const auto driver = harness.open("vhd:" + path);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {7, 3}, 1));
        REQUIRE_FALSE(resize(harness, *driver, large));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path), model));
}

TEST_CASE("vhd resize: what an image that was made smaller has behind its end does not come to light", "[unit][vhd]") {
    const TemporaryDirectory directory;
    make({.path = directory.path("base"), .size_bytes = 1 << 20});
    const auto way = GENERATE(0, 1, 2, 3);
    CAPTURE(way);
    constexpr std::uint64_t end = 5001;  // inside of a block
    NewImage image{.path = directory.path("disk"), .size_bytes = 8 << 20};
    if (way == 1) image.fixed = true;
    if (way == 2) image.parent = "base";
    if (way == 3) image.block_bytes = 4096;
    const std::string path = make(image);
    ModelDisk model{large};
    DriverHarness harness;
    REQUIRE_FALSE(write_stamp(harness, *harness.open("vhd:" + path), model, {0, 16384}, 1));
    const FileBytes bytes{path};
    for (const std::uint64_t at : {std::uint64_t{0}, file_size(path) - footer_bytes}) {
        if (at == 0 && image.fixed) continue;
        bytes.put<std::uint64_t>(at + 48, end * 512);
        seal_footer(path, at);
    }
    model.zero({end, 16384 - end});
    for (const std::uint64_t larger : {end + 3, std::uint64_t{16384}, large}) {
        CAPTURE(larger);
        ModelDisk part{larger};
        part.write({0, end}, 1);
        const auto driver = harness.open("vhd:" + path);
        REQUIRE_FALSE(resize(harness, *driver, larger));
        CHECK_FALSE(find_difference(harness, *driver, part));
    }
    CHECK(check_vhd(path).errors == 0);
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path), model));
    if (!image.fixed && image.parent.empty()) check_with_qemu(directory, path, model);
}

TEST_CASE("vhd resize: what cannot be is refused and changes nothing", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = 1 << 20});
    DriverHarness harness;
    {
        const auto driver = harness.open("vhd:" + path);
        CHECK(resize(harness, *driver, 100) == std::errc::invalid_argument);
        CHECK(resize(harness, *driver, disk_bytes_max / 512 + 1) == std::errc::invalid_argument);
        CHECK(resize(harness, *driver, 1ULL << 60) == std::errc::invalid_argument);
        CHECK(driver->info().size_sectors == 2048);
        CHECK_FALSE(resize(harness, *driver, disk_bytes_max / 512));
    }
    CHECK(check_vhd(path).errors == 0);
    CHECK(open_vhd(path).chain.front().size_bytes == disk_bytes_max);
    CHECK(resize(harness, *harness.open("vhd:" + path, Access::read_only), disk_bytes_max / 512) ==
          std::errc::invalid_argument);
}

TEST_CASE("vhd resize: a table that XenServer's map of blocks lies behind stays where it is", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = 3 << 20});
    for (const std::uint64_t at : {std::uint64_t{0}, file_size(path) - footer_bytes}) {
        FileBytes{path}.put<std::uint32_t>(at + 28, 0x74617000);
        seal_footer(path, at);
    }
    DriverHarness harness;
    const auto driver = harness.open("vhd:" + path);
    CHECK_FALSE(resize(harness, *driver, 8192));  // the last block is not all used yet
    CHECK(resize(harness, *driver, 8193) == std::errc::operation_not_supported);
}
