// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/raw_driver.hpp"

#include <algorithm>
#include <fstream>
#include <sys/stat.h>

#include "libblktap/base/error.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// Page-aligned memory with what `stamp` puts into `range`.
Mapping filled(SectorRange range, std::uint64_t stamp) {
    Mapping memory = Mapping::anonymous(range.length_bytes());
    ModelDisk::fill(range, stamp, memory.bytes());
    return memory;
}

void write(DriverHarness& harness, ImageDriver& driver, ModelDisk& model, SectorRange range, std::uint64_t stamp) {
    const Mapping memory = filled(range, stamp);
    REQUIRE_FALSE(harness.write(driver, range, memory.bytes()));
    model.write(range, stamp);
}

std::optional<std::uint64_t> first_difference(DriverHarness& harness, ImageDriver& driver, const ModelDisk& model) {
    const SectorRange all{0, model.size_sectors()};
    const Mapping memory = Mapping::anonymous(all.length_bytes());
    REQUIRE_FALSE(harness.read(driver, all, memory.bytes()));
    return model.first_difference(all, memory.bytes());
}

/// A raw image over `path` that claims blocks of `alignment_bytes`, whatever the disk has.
std::unique_ptr<ImageDriver> open_with_blocks(DriverHarness& harness, const std::string& path,
                                              std::uint32_t alignment_bytes) {
    RawImage image = inspect_raw_image(LocalImageOpener{}.open(path, Access::read_write, Caching::direct), path,
                                       Access::read_write, Caching::direct);
    image.info.write_alignment_bytes = alignment_bytes;
    return std::make_unique<RawDriver>(std::move(image), harness.context());
}

}  // namespace

TEST_CASE("raw driver: reads what was written, and zeros elsewhere", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = harness.open("raw:" + directory.make_file("disk", 1 << 20));
    ModelDisk model{driver->info().size_sectors};
    write(harness, *driver, model, {0, 8}, 1);
    write(harness, *driver, model, {17, 100}, 2);
    write(harness, *driver, model, {2047, 1}, 3);
    CHECK_FALSE(harness.flush(*driver));
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: what was written is in the file after closing", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const std::string image = "raw:" + directory.make_file("disk", 1 << 20);
    ModelDisk model{2048};
    write(harness, *harness.open(image), model, {100, 300}, 7);
    CHECK_FALSE(first_difference(harness, *harness.open(image, Access::read_only), model).has_value());
}

TEST_CASE("raw driver: a request is one operation however many segments it has", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = harness.open("raw:" + directory.make_file("disk", 1 << 20));
    const SectorRange range{8, 256 * 2};
    const Mapping memory = filled(range, 1);
    std::vector<iovec> segments;
    for (std::size_t index = 0; index < 256; ++index)
        segments.push_back({memory.data() + index * 1024, 1024});
    TestRequest request{ImageRequest::Kind::write, range, segments};
    REQUIRE_FALSE(harness.run(*driver, request));
    CHECK(harness.io().stats().submitted == 1);
    ModelDisk model{2048};
    model.write(range, 1);
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: hundreds of requests are under way at once", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = harness.open("raw:" + directory.make_file("disk", 4 << 20));
    ModelDisk model{driver->info().size_sectors};
    std::vector<Mapping> memory;
    std::vector<std::unique_ptr<TestRequest>> requests;
    for (std::uint64_t index = 0; index < 400; ++index) {
        const SectorRange range{index * 16, 8};
        memory.push_back(filled(range, index + 1));
        model.write(range, index + 1);
        requests.push_back(std::make_unique<TestRequest>(ImageRequest::Kind::write, range, memory.back().bytes()));
        requests.back()->start_on(*driver);
    }
    for (const auto& request : requests) {
        harness.finish(*request);
        CHECK_FALSE(request->error);
    }
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: sectors of 512 bytes work on a disk with larger blocks", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = open_with_blocks(harness, directory.make_file("disk", 1 << 20), 4096);
    ModelDisk model{2048};
    std::uint64_t stamp = 1;
    for (const SectorRange range : {SectorRange{0, 2048}, SectorRange{1, 1}, SectorRange{7, 2}, SectorRange{16, 12},
                                    SectorRange{29, 11}, SectorRange{100, 1000}, SectorRange{2047, 1}}) {
        write(harness, *driver, model, range, stamp++);
    }
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: short segments of a whole block go through the buffer", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = open_with_blocks(harness, directory.make_file("disk", 1 << 20), 4096);
    const SectorRange range{8, 8};
    const Mapping memory = filled(range, 1);
    std::vector<iovec> segments;
    for (std::size_t at = 0; at < 4096; at += 512)
        segments.push_back({memory.data() + at, 512});
    TestRequest request{ImageRequest::Kind::write, range, segments};
    REQUIRE_FALSE(harness.run(*driver, request));
    CHECK(harness.io().stats().submitted == 0);
    ModelDisk model{2048};
    model.write(range, 1);
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: memory at any address works", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = harness.open("raw:" + directory.make_file("disk", 1 << 20));
    const SectorRange range{3, 5};
    const Mapping memory = Mapping::anonymous(8192);
    const auto odd = memory.bytes().subspan(1, range.length_bytes());
    ModelDisk::fill(range, 9, odd);
    REQUIRE_FALSE(harness.write(*driver, range, odd));
    std::fill(odd.begin(), odd.end(), std::byte{0});
    REQUIRE_FALSE(harness.read(*driver, range, odd));
    ModelDisk model{2048};
    model.write(range, 9);
    CHECK_FALSE(model.first_difference(range, odd).has_value());
}

TEST_CASE("raw driver: every size of sector works on a real disk with blocks of 4096 bytes", "[unit][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    DriverHarness harness;
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", 1 << 20), 4096};
    const auto driver = harness.open("raw:" + device.path());
    ModelDisk model{2048};
    write(harness, *driver, model, {0, 2048}, 1);
    write(harness, *driver, model, {9, 1}, 2);
    write(harness, *driver, model, {15, 600}, 3);
    CHECK_FALSE(harness.flush(*driver));
    CHECK_FALSE(harness.discard(*driver, {1024, 64}));
    CHECK_FALSE(harness.discard(*driver, {1, 3}));
    model.zero({1024, 64});  // a loop device punches a hole
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: a file that became shorter is an error, not zeros", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 1 << 20);
    const auto driver = harness.open("raw:" + path);
    std::filesystem::resize_file(path, 1 << 19);
    const Mapping memory = Mapping::anonymous(8192);
    const SectorRange over_the_end{1016, 16};
    CHECK(harness.read(*driver, over_the_end, memory.bytes()) == Errc::unexpected_end_of_file);
    CHECK(harness.read(*driver, {2040, 8}, memory.bytes().first(4096)) == Errc::unexpected_end_of_file);
    CHECK_FALSE(harness.read(*driver, {1016, 8}, memory.bytes().first(4096)));
}

TEST_CASE("raw driver: a read-only file that ends inside of a sector is read to its last byte, then zeros",
          "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    const std::string bytes(70'001, 'x');
    std::ofstream{path} << bytes;
    DriverHarness harness;
    const auto* const options = GENERATE("", "?buffered=yes");
    const auto driver = harness.open("raw:" + path + options, Access::read_only);
    REQUIRE(driver->info().size_sectors == 137);
    const Mapping memory = Mapping::anonymous(137 * 512);
    for (const std::uint64_t first : {0U, 100U, 136U}) {
        const auto data = memory.bytes().first((137 - first) * 512);
        std::ranges::fill(data, std::byte{0xee});
        REQUIRE_FALSE(harness.read(*driver, {first, 137 - first}, data));
        const std::size_t there = bytes.size() - first * 512;
        CHECK(std::ranges::count(data.first(there), std::byte{'x'}) == static_cast<std::ptrdiff_t>(there));
        CHECK(std::ranges::count(data.subspan(there), std::byte{0}) ==
              static_cast<std::ptrdiff_t>(data.size() - there));
    }
    REQUIRE(::truncate(path.c_str(), 70'000) == 0);
    CHECK(harness.read(*driver, {136, 1}, memory.bytes().first(512)) == Errc::unexpected_end_of_file);
}

TEST_CASE("raw driver: discard empties whole granules and leaves the rest", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = harness.open("raw:" + directory.make_file("disk", 1 << 20));
    if (!driver->info().discard) {
        WARN("this file system punches no holes");
        return;
    }
    const std::uint64_t granule = driver->info().discard_granularity_bytes / 512;
    ModelDisk model{2048};
    write(harness, *driver, model, {0, 2048}, 1);
    TestRequest request{ImageRequest::Kind::discard, {granule - 1, 3 * granule}};
    CHECK_FALSE(harness.run(*driver, request));
    CHECK(request.range == SectorRange{granule - 1, 3 * granule});  // is the engine's, which still needs it
    CHECK_FALSE(harness.discard(*driver, {8 * granule + 1, granule - 1}));
    CHECK_FALSE(harness.discard(*driver, {0, 0}));
    model.zero({granule, 2 * granule});
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: discard is refused where the storage has none", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 1 << 20);
    RawImage image = inspect_raw_image(LocalImageOpener{}.open(path, Access::read_write, Caching::direct), path,
                                       Access::read_write, Caching::direct);
    image.info.discard = false;
    RawDriver driver{std::move(image), harness.context()};
    CHECK(harness.discard(driver, {0, 64}) == std::errc::operation_not_supported);
}

TEST_CASE("raw driver: write_zeroes leaves zeros and nothing else, also behind the end of a file that grows",
          "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const auto driver = harness.open("raw:" + directory.make_file("disk", 64 * 1024) + "?size=1M");
    REQUIRE(driver->info().write_zeroes);
    ModelDisk model{2048};
    write(harness, *driver, model, {0, 128}, 1);
    for (const SectorRange range : {SectorRange{3, 2}, SectorRange{16, 64}, SectorRange{1000, 17}}) {
        TestRequest request{ImageRequest::Kind::write_zeroes, range};
        CHECK_FALSE(harness.run(*driver, request));
        model.zero(range);
    }
    write(harness, *driver, model, {1016, 8}, 2);
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
    CHECK_FALSE(harness.flush(*driver));
}

TEST_CASE("raw driver: write_zeroes gives storage back only where it may", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 1 << 20);
    const auto driver = harness.open("raw:" + path);
    const auto blocks = [&path] {
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        return status.st_blocks;
    };
    ModelDisk model{2048};
    write(harness, *driver, model, {0, 2048}, 1);
    const auto all = blocks();
    TestRequest kept{ImageRequest::Kind::write_zeroes, {0, 1024}};
    CHECK_FALSE(harness.run(*driver, kept));
    CHECK(blocks() >= all);
    TestRequest given_back{ImageRequest::Kind::write_zeroes, {0, 1024}};
    given_back.may_unmap = true;
    CHECK_FALSE(harness.run(*driver, given_back));
    if (driver->info().discard) CHECK(blocks() < all);
    model.zero({0, 1024});
    CHECK_FALSE(first_difference(harness, *driver, model).has_value());
}

TEST_CASE("raw driver: needs a path, and names an option that it does not know", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    CHECK_THAT(thrown([&] { harness.open("raw:"); }).what(), Catch::Contains("no path"));
    const std::string image = "raw:" + directory.make_file("disk", 1 << 20);
    CHECK_THAT(thrown([&] { harness.open(image + "?cache=none"); }).what(), Catch::Contains("'cache'"));
    CHECK(harness.open(image + "?buffered=yes")->info().size_sectors == 2048);
}
