// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The crash checker: random traffic on a VHD image, cut off at many points, once as by a loss of power, once as by the
// death of the process. Each image that results must be one:
//
//   - it opens for writing, and nothing in it is outside of the file or over something else
//   - after a loss of power, what a flush covered is there; after a death, what was answered
//   - every other sector holds what was once written there, or what was there before: never another sector's data
//   - opened and closed, it is for qemu-img what it is for us
#include "drivers/vhd/create.hpp"
#include "drivers/vhd/examine.hpp"
#include "drivers/vhd/open_image.hpp"
#include "tests/crash/crash_checker.hpp"
#include "tests/support/images/image_files.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

vhd::Findings check_vhd(const std::string& path) {
    LocalImageOpener files;
    return vhd::check_image(vhd::open_chain(path, Access::read_only, Caching::buffered, files).chain.front());
}

void examine(const std::string& path, const History& history, std::size_t kept, std::size_t now, bool qemu_reads) {
    const vhd::Findings before = check_vhd(path);
    INFO(before.first_error);
    REQUIRE(before.errors == 0);
    for (int life = 0; life < 2; ++life) {  // opening it for writing changes nothing that is seen
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        check_disk(*driver, harness, history, kept, now);
    }
    const vhd::Findings after = check_vhd(path);
    REQUIRE(after.errors == 0);
    REQUIRE(after.blocks_used == before.blocks_used);
    REQUIRE_FALSE(after.end_footer_missing);
    if (!qemu_reads) return;
    const std::string raw = path + ".raw";
    qemu_img({"convert", "-f", "vpc", "-O", "raw", path, raw});
    DriverHarness harness;
    const auto driver = harness.open("raw:" + raw);
    check_disk(*driver, harness, history, kept, now);
}

void check_vhd_crashes(const std::string& path, const ModelDisk& before, Habits habits, bool qemu_reads,
                       std::size_t tail = vhd::footer_bytes) {
    const auto judge = [&](const std::string& crashed, const History& history, std::size_t kept, std::size_t now) {
        examine(crashed, history, kept, now, qemu_reads);
    };
    check_crashes("vhd", path, before, habits, tail, judge);
}

constexpr std::uint64_t disk_bytes = disk_sectors * sector_size_bytes;

/// As other programs do: the footers tell of a disk of disk_bytes, and all else stays.
void make_smaller(const std::string& path) {
    LocalImageOpener files;
    vhd::Footer footer = vhd::open_chain(path, Access::read_only, Caching::buffered, files).chain.front().footer;
    footer.set_disk_bytes(disk_bytes);
    std::vector<std::byte> bytes = load_file(path);
    std::ranges::copy(footer.bytes(), bytes.begin());
    std::ranges::copy(footer.bytes(), bytes.end() - vhd::footer_bytes);
    store_file(path, bytes);
}

}  // namespace

TEST_CASE("vhd driver: a crash at any moment leaves an image with everything that was promised", "[crash][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    const std::uint64_t block_bytes = GENERATE(2U << 20, 65536U, 4096U);
    CAPTURE(block_bytes);
    vhd::create_image({.path = path, .size_bytes = disk_bytes, .block_bytes = block_bytes});
    check_vhd_crashes(path, ModelDisk{disk_sectors}, {.grows = GENERATE(false, true)}, qemu_img_available());
}

TEST_CASE("vhd driver: a crash while a disk that was made smaller grows shows nothing of what was there",
          "[crash][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    // With one block of which the smaller disk has the beginning, or many of which it has some.
    const std::uint64_t block_bytes = GENERATE(4U << 20, 65536U);
    CAPTURE(block_bytes);
    vhd::create_image({.path = path, .size_bytes = 2 * disk_bytes, .block_bytes = block_bytes});
    ModelDisk model{2 * disk_sectors};
    {
        DriverHarness harness;
        REQUIRE_FALSE(
            write_stamp(harness, *harness.open("vhd:" + path), model, {disk_sectors - 100, disk_sectors + 100}, 1));
    }
    make_smaller(path);
    ModelDisk before{disk_sectors};
    before.write({disk_sectors - 100, 100}, 1);
    check_vhd_crashes(path, before, {.grows = true}, qemu_img_available());
}

TEST_CASE("vhd driver: a crash of a fixed image loses nothing", "[crash][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    vhd::create_image({.path = path, .size_bytes = disk_bytes, .fixed = true});
    check_vhd_crashes(path, ModelDisk{disk_sectors}, {}, false, 0);
}

TEST_CASE("vhd driver: a crash of a differencing image loses nothing of what is below it", "[crash][vhd]") {
    const TemporaryDirectory directory;
    ModelDisk model{disk_sectors};
    std::vector<std::byte> bytes(disk_bytes);
    for (std::uint64_t first = 0; first + 100 < disk_sectors; first += 300)
        model.write({first, 100}, first + 1);
    for (std::uint64_t sector = 0; sector < disk_sectors; ++sector)
        ModelDisk::fill({sector, 1}, model.stamp(sector), std::span(bytes).subspan(sector * 512, 512));
    const std::string raw = directory.path("base");
    store_file(raw, bytes);
    const std::string path = directory.path("disk");
    const std::uint64_t block_bytes = GENERATE(2U << 20, 16384U);
    CAPTURE(block_bytes);
    vhd::create_image(
        {.path = path, .size_bytes = disk_bytes, .block_bytes = block_bytes, .parent = "base", .parent_is_raw = true});
    check_vhd_crashes(path, model, {.discards = false, .grows = GENERATE(false, true)}, false);
}
