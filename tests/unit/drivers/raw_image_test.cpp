// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/raw_image.hpp"

#include "libblktap/base/error.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

RawImage open_image(const std::string& path, Access access, Caching caching = Caching::direct,
                    std::uint64_t declared_bytes = 0) {
    return inspect_raw_image(LocalImageOpener{}.open(path, access, caching), path, access, caching, declared_bytes);
}

bool is_power_of_two_at_least(std::uint32_t value, std::uint32_t minimum) {
    return value >= minimum && (value & (value - 1)) == 0;
}

}  // namespace

TEST_CASE("raw image: a file's size is the disk's", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const RawImage image = open_image(directory.make_file("disk", 3 << 20), Access::read_write);
    CHECK(image.info.size_sectors == (3 << 20) / 512);
    CHECK_FALSE(image.info.read_only);
    CHECK_FALSE(image.block_device);
}

TEST_CASE("raw image: alignments are powers of two that guest and engine can use", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const ImageInfo info = open_image(directory.make_file("disk", 1 << 20), Access::read_only).info;
    CHECK(info.read_only);
    CHECK(is_power_of_two_at_least(info.write_alignment_bytes, 512));
    CHECK(is_power_of_two_at_least(info.physical_sector_size_bytes, info.write_alignment_bytes));
    CHECK(is_power_of_two_at_least(info.memory_alignment_bytes, 1));
    CHECK(info.memory_alignment_bytes <= 4096);
}

TEST_CASE("raw image: where the file system does not report its alignment, a read finds it", "[unit][drivers]") {
    if (!std::filesystem::is_directory("/dev/shm")) {
        WARN("needs a tmpfs");
        return;
    }
    const TemporaryDirectory directory{"/dev/shm"};
    const std::string path = directory.make_file("disk", 1 << 20);
    const UniqueFd direct{::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)};
    if (!direct) {
        WARN("this kernel's tmpfs has no direct I/O");
        return;
    }
    CHECK(open_image(path, Access::read_write).info.write_alignment_bytes == 512);
}

TEST_CASE("raw image: refuses an empty file, and for writing one that is not whole sectors, with its size",
          "[unit][drivers]") {
    const TemporaryDirectory directory;
    const auto empty = thrown([&] { open_image(directory.make_file("empty", 0), Access::read_only); });
    CHECK(empty.code() == Errc::image_invalid);
    CHECK_THAT(empty.what(), Catch::StartsWith(directory.path("empty")) && Catch::Contains("0"));
    const auto odd = thrown([&] { open_image(directory.make_file("odd", 1000), Access::read_write); });
    CHECK(odd.code() == Errc::image_invalid);
    CHECK(std::string{odd.what()} == directory.path("odd") + ": its size, 1000 bytes, is not a multiple of 512 " +
                                         "(truncate -s %512 enlarges it)");
    CHECK(open_image(directory.path("odd"), Access::read_only).info.size_sectors == 2);
}

TEST_CASE("raw image: a declared size that is at fault is the one that is told", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 1 << 20);
    const auto error = thrown([&] { open_image(path, Access::read_write, Caching::buffered, (1 << 20) + 100); });
    CHECK(std::string{error.what()} == path + ": the disk's size, 1048676 bytes, is not a multiple of 512");
}

TEST_CASE("raw image: a size that no file of the file system can have is refused, and the file stays as it is",
          "[unit][drivers][root]") {
    if (!SmallFileSystem::available(SmallFileSystem::Kind::ext4)) {
        WARN("needs the right to mount, and loop devices");
        return;
    }
    const SmallFileSystem small{SmallFileSystem::Kind::ext4, 64 << 20, 4096};
    const std::string path = small.make_file("disk");
    const auto error = thrown([&] { open_image(path, Access::read_write, Caching::direct, 20ULL << 40); });
    CHECK(error.code() == std::errc::file_too_large);
    CHECK_THAT(error.what(), Catch::StartsWith(path + ": size=21990232555520 is more than"));
    CHECK(std::filesystem::file_size(path) == 0);
    const std::uint64_t most = (16ULL << 40) - 4096;
    CHECK(open_image(path, Access::read_write, Caching::direct, most).info.size_sectors == most / 512);
}

TEST_CASE("raw image: a file may be one sector", "[unit][drivers]") {
    const TemporaryDirectory directory;
    CHECK(open_image(directory.make_file("disk", 512), Access::read_only).info.size_sectors == 1);
}

TEST_CASE("raw image: a buffered image has no alignment but the sector's", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const ImageInfo info = open_image(directory.make_file("disk", 1 << 20), Access::read_write, Caching::buffered).info;
    CHECK(info.write_alignment_bytes == 512);
}

TEST_CASE("raw image: a disk with blocks of 4096 bytes is told as such", "[unit][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", 1 << 20), 4096};
    const RawImage image = open_image(device.path(), Access::read_write);
    CHECK(image.block_device);
    CHECK(image.info.size_sectors == 2048);
    CHECK(image.info.write_alignment_bytes == 4096);
    CHECK(image.info.physical_sector_size_bytes >= 4096);
}

TEST_CASE("raw image: a block device is not to be made longer by truncate", "[unit][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", (1 << 20) + 512), 4096};
    const auto error = thrown([&] { open_image(device.path(), Access::read_write); });
    CHECK_THAT(error.what(), Catch::EndsWith("is not a multiple of 4096, the disk's smallest write"));
}
