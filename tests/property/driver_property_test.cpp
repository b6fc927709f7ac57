// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Every driver agrees with the model disk under random mixed requests, many under way at once and none overlapping
// another. BLKTAP_SEED=n replays one run.
#include <fstream>

#include "drivers/raw/raw_driver.hpp"
#include "tests/property/driver_comparison.hpp"
#include "tests/property/example_driver.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/images/shift_filter.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t disk_sectors = comparison_sectors;

void compare(const std::string& image) {
    DriverHarness harness;
    const auto driver = harness.open(image);
    ModelDisk model{disk_sectors};
    Comparison{harness, *driver, model, seed_of_this_run()}.run();
    CHECK_FALSE(harness.flush(*driver));  // nothing is under way after it
}

}  // namespace

TEST_CASE("raw driver: agrees with the model on a file", "[property][drivers]") {
    const TemporaryDirectory directory;
    compare("raw:" + directory.make_file("disk", disk_sectors * 512));
}

TEST_CASE("raw driver: agrees with the model through the page cache", "[property][drivers]") {
    const TemporaryDirectory directory;
    compare("raw:" + directory.make_file("disk", disk_sectors * 512) + "?buffered=yes");
}

TEST_CASE("raw driver: agrees with the model on a file that grows", "[property][drivers]") {
    const TemporaryDirectory directory;
    compare("raw:" + directory.make_file("disk", GENERATE(0u, 4096u, 1u << 20)) + "?size=4M");
}

TEST_CASE("raw driver: agrees with the model on a file treated as having large blocks", "[property][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", disk_sectors * 512);
    DriverHarness harness;
    RawImage image = inspect_raw_image(LocalImageOpener{}.open(path, Access::read_write, Caching::direct), path,
                                       Access::read_write, Caching::direct);
    image.info.write_alignment_bytes = GENERATE(4096U, 65536U);
    RawDriver driver{std::move(image), harness.context()};
    ModelDisk model{disk_sectors};
    Comparison{harness, driver, model, seed_of_this_run()}.run();
}

TEST_CASE("raw driver: agrees with the model on a disk with blocks of 4096 bytes", "[property][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", disk_sectors * 512), 4096};
    compare("raw:" + device.path());
}

TEST_CASE("shift filter: agrees with the model over a file, and leaves what is before its offset",
          "[property][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096 + disk_sectors * 512);
    Registry drivers = all_drivers();
    drivers.add(ShiftFilter::format, &open_shift);
    DriverHarness harness;
    {
        const auto driver = harness.open("shift:raw:" + path + "?offset=4K", Access::read_write, drivers);
        ModelDisk model{driver->info().size_sectors};
        Comparison{harness, *driver, model, seed_of_this_run()}.run();
        CHECK_FALSE(harness.flush(*driver));
    }
    const Mapping before = Mapping::anonymous(4096);
    const auto raw = harness.open("raw:" + path);
    REQUIRE_FALSE(harness.read(*raw, {0, 8}, before.bytes()));
    CHECK(std::ranges::all_of(before.bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_CASE("example driver: agrees with the model, leaves what is before its offset, and refuses what is too short",
          "[property][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096 + disk_sectors * 512);
    DriverHarness harness;
    {
        const auto driver = open_example_image(parse_image_spec("example:" + path + "?offset=4096", Access::read_write),
                                               harness.context());
        CHECK(driver->info().size_sectors == disk_sectors);
        ModelDisk model{disk_sectors};
        Comparison{harness, *driver, model, seed_of_this_run()}.run();
        CHECK_FALSE(harness.flush(*driver));
    }
    std::ifstream file{path, std::ios::binary};
    std::string before(4096, 'x');
    file.read(before.data(), 4096);
    CHECK(before == std::string(4096, '\0'));
    CHECK_THROWS_AS(
        open_example_image(parse_image_spec("example:" + path + "?offset=1T", Access::read_only), harness.context()),
        std::system_error);
}
