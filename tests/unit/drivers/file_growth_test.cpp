// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A raw disk that is larger than its file: what it reads, how the file grows, how long the file is at the end, and how
// the disk behaves on a full file system.
#include "drivers/shared/file_growth.hpp"

#include <sys/stat.h>

#include "libblktap/base/mapping.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;
using Kind = ImageRequest::Kind;

namespace {

constexpr std::uint64_t mib = 1 << 20;

struct stat status_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status;
}

std::uint64_t length_of(const std::string& path) {
    return static_cast<std::uint64_t>(status_of(path).st_size);
}

/// A disk of `device` bytes on a file of `file` bytes, and a model of it.
struct GrowingDisk {
    GrowingDisk(const std::string& its_path, std::uint64_t device) : path(its_path), model(device / 512) {
        driver = harness.open("raw:" + path + "?size=" + std::to_string(device));
    }
    ~GrowingDisk() { close(); }

    std::error_code write(SectorRange range, std::uint64_t stamp) {
        Mapping memory = Mapping::anonymous(range.length_bytes());
        ModelDisk::fill(range, stamp, memory.bytes());
        const std::error_code error = harness.write(*driver, range, memory.bytes());
        if (!error) model.write(range, stamp);
        return error;
    }
    bool reads_right(SectorRange range, std::size_t misalignment = 0) {
        const Mapping memory = Mapping::anonymous(range.length_bytes() + page_size_bytes);
        const auto bytes = memory.bytes().subspan(misalignment, range.length_bytes());
        std::ranges::fill(bytes, std::byte{0x5a});
        REQUIRE_FALSE(harness.read(*driver, range, bytes));
        return !model.first_difference(range, bytes).has_value();
    }
    void close() {
        if (!driver) return;
        CHECK_FALSE(harness.flush(*driver));
        driver.reset();
    }

    const std::string path;
    DriverHarness harness;
    OpenDriver driver;
    ModelDisk model;
};

}  // namespace

TEST_CASE("growth: the disk has the declared size, and zeros behind the file's end", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 100 * mib};
    CHECK(disk.driver->info().size_sectors == 100 * mib / 512);
    CHECK_FALSE(disk.write({0, 2048}, 1));
    CHECK(disk.reads_right({0, 8}));
    CHECK(disk.reads_right({2040, 16}));  // over the end
    CHECK(disk.reads_right({2032, 48}, GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{8})));
    CHECK(disk.reads_right({4096, 512}));  // behind it
    CHECK(disk.reads_right({100 * mib / 512 - 1, 1}));
    CHECK(length_of(disk.path) == mib);  // reading changes nothing
}

TEST_CASE("growth: an empty file is a disk when its size is declared, and is not otherwise", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 0);
    GrowingDisk disk{path, 64 * mib};
    CHECK(disk.reads_right({0, 64}));
    const std::uint64_t block = disk.driver->info().write_alignment_bytes;
    CHECK_FALSE(disk.write({3, 1}, 1));
    CHECK(disk.reads_right({0, 64}));
    disk.close();
    DriverHarness harness;
    CHECK(length_of(path) == round_up(4 * 512, block));  // as far as it was written
    const std::string empty = directory.make_file("empty", 0);
    CHECK(thrown([&] { harness.open("raw:" + empty); }).code() == Errc::image_invalid);
}

TEST_CASE("growth: the file is made longer ahead of a write, and ends with what was written", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 1024 * mib};
    CHECK_FALSE(disk.write({2048, 8}, 1));
    CHECK(length_of(disk.path) == mib + 4096 + FileGrowth::ahead_min_bytes);
    CHECK(disk.driver->activity().growths == 1);
    CHECK_FALSE(disk.write({2056, 8}, 2));
    CHECK(disk.driver->activity().growths == 1);  // there was room
    CHECK(disk.reads_right({2040, 40}));
    disk.close();
    CHECK(length_of(disk.path) == mib + 8192);
}

TEST_CASE("growth: steady writing has room ahead of it", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 1024 * mib};
    constexpr std::uint64_t piece = 2048;  // sectors: 1 MiB
    for (std::uint64_t at = 0; at < 80; ++at)
        REQUIRE_FALSE(disk.write({at * piece, piece}, at + 1));
    // Only the first had to wait for it: the others found it done, or under way.
    CHECK(disk.driver->activity().growths >= 3);
    CHECK(length_of(disk.path) > 80 * mib);
    for (std::uint64_t at = 0; at < 80; at += 7)
        CHECK(disk.reads_right({at * piece, piece}));
    disk.close();
    CHECK(length_of(disk.path) == 80 * mib);
}

TEST_CASE("growth: a write far behind the end leaves a hole", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 4096 * mib};
    const std::uint64_t last = 4096 * mib / 512 - 8;
    CHECK_FALSE(disk.write({last, 8}, 1));
    CHECK(length_of(disk.path) == 4096 * mib);
    CHECK(static_cast<std::uint64_t>(status_of(disk.path).st_blocks) * 512 < 64 * mib);
    CHECK_FALSE(disk.write({mib, 16}, 2));
    CHECK(disk.reads_right({last - 64, 72}));
    CHECK(disk.reads_right({mib - 8, 32}));
}

TEST_CASE("growth: the file never grows beyond the disk", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 3 * mib};
    CHECK_FALSE(disk.write({2048, 8}, 1));
    CHECK(length_of(disk.path) == 3 * mib);
    CHECK_FALSE(disk.write({3 * 2048 - 1, 1}, 2));
    CHECK(disk.reads_right({0, 3 * 2048}));
}

TEST_CASE("growth: requests that come while the file is made longer wait, and all are served", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 1024 * mib};
    std::vector<Mapping> memory;
    std::vector<std::unique_ptr<TestRequest>> requests;
    for (std::uint64_t i = 0; i < 64; ++i) {
        const SectorRange range{i * 16384, 16};  // 8 MiB apart
        memory.push_back(Mapping::anonymous(range.length_bytes()));
        ModelDisk::fill(range, i + 1, memory.back().bytes());
        disk.model.write(range, i + 1);
        requests.push_back(std::make_unique<TestRequest>(Kind::write, range, memory.back().bytes()));
        requests.back()->start_on(*disk.driver);
        if (i % 8 == 0) requests.push_back(std::make_unique<TestRequest>(Kind::flush, SectorRange{}));
        if (i % 8 == 0) requests.back()->start_on(*disk.driver);
    }
    for (const auto& request : requests) {
        disk.harness.finish(*request);
        CHECK_FALSE(request->error);
    }
    for (std::uint64_t i = 0; i < 64; ++i)
        CHECK(disk.reads_right({i * 16384, 32}));
}

TEST_CASE("growth: a declared size below the file's is not applied", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const GrowingDisk disk{directory.make_file("disk", 2 * mib), mib};
    CHECK(disk.driver->info().size_sectors == 2 * mib / 512);
}

TEST_CASE("growth: a read-only disk has its declared size and does not grow", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", mib);
    {
        DriverHarness harness;
        const auto driver = harness.open("raw:" + path + "?size=2M", Access::read_only);
        CHECK(driver->info().size_sectors == 4096);
        CHECK_FALSE(driver->space());
        const Mapping memory = Mapping::anonymous(2 * mib);
        CHECK_FALSE(harness.read(*driver, {0, 4096}, memory.bytes()));
    }
    CHECK(length_of(path) == mib);
}

TEST_CASE("resize: the file, then the disk, becomes longer and never shorter", "[unit][drivers]") {
    const TemporaryDirectory directory;
    GrowingDisk disk{directory.make_file("disk", mib), 2 * mib};
    disk.model = ModelDisk{8 * mib / 512};
    const auto resize = [&disk](std::uint64_t size_bytes) {
        TestRequest request{Kind::flush, {}};
        request.resize_on(*disk.driver, size_bytes / 512);
        disk.harness.finish(request);
        return request.error;
    };
    CHECK(resize(mib) == std::errc::invalid_argument);
    CHECK(resize(~std::uint64_t{0} & ~std::uint64_t{511}) == std::errc::invalid_argument);
    CHECK(disk.driver->info().size_sectors == 4096);
    REQUIRE_FALSE(resize(8 * mib));
    CHECK(disk.driver->info().size_sectors == 8 * mib / 512);
    CHECK(length_of(disk.path) == 8 * mib);
    CHECK_FALSE(disk.write({5 * 2048, 8}, 1));
    CHECK(disk.reads_right({0, 8 * 2048}));
    CHECK_FALSE(resize(8 * mib));
    disk.close();
    CHECK(length_of(disk.path) == 8 * mib);  // without size= it opens as large as it was
}

TEST_CASE("growth: a full file system is told, leaks nothing, and is no error once there is space",
          "[unit][drivers][root]") {
    const auto kind = GENERATE(SmallFileSystem::Kind::tmpfs, SmallFileSystem::Kind::ext4);
    if (!SmallFileSystem::available(kind)) {
        WARN("needs root, the right to mount, and for ext4 loop devices: skipped");
        return;
    }
    const SmallFileSystem small{kind, 64 * mib};
    small.fill(4 * mib);
    GrowingDisk disk{small.make_file("disk"), 1024 * mib};
    std::uint64_t written = 0;
    std::error_code error;
    while (!error && written < 8) {
        error = disk.write({written * 2048, 2048}, written + 1);
        if (!error) ++written;
    }
    CHECK(error == std::errc::no_space_on_device);
    CHECK(written >= 2);
    const std::uint64_t length = length_of(disk.path);
    for (int i = 0; i < 5; ++i)
        CHECK(disk.write({written * 2048, 2048}, 99) == std::errc::no_space_on_device);
    CHECK(length_of(disk.path) == length);
    // What is there can be read and written over.
    CHECK_FALSE(disk.write({0, 2048}, 50));
    CHECK(disk.reads_right({0, 8 * 2048}));
    small.free_space();
    CHECK_FALSE(disk.write({written * 2048, 2048}, 51));
    CHECK(disk.reads_right({0, 8 * 2048}));
    disk.close();
    CHECK(length_of(disk.path) == (written + 1) * mib);
}
