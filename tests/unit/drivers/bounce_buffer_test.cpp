// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/bounce_buffer.hpp"

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t disk_sectors = 4096;  // 2 MiB: several pieces

/// `data` in segments of odd lengths: 512 bytes, 1024, 1536, ...
std::vector<iovec> scatter(std::vector<std::byte>& data) {
    std::vector<iovec> segments;
    for (std::size_t at = 0, length = 512; at < data.size(); at += length, length += 512) {
        segments.push_back({data.data() + at, std::min(length, data.size() - at)});
    }
    return segments;
}

/// A file that is opened for direct I/O, and what it must hold.
struct Disk {
    TemporaryDirectory directory;
    UniqueFd fd{::open(directory.make_file("disk", disk_sectors * 512).c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)};
    ModelDisk model{disk_sectors};
    BounceBuffer bounce{4096};

    void write(SectorRange range, std::uint64_t stamp) {
        std::vector<std::byte> data(range.length_bytes());
        ModelDisk::fill(range, stamp, data);
        REQUIRE_FALSE(bounce.write(fd.get(), range, scatter(data)));
        model.write(range, stamp);
    }
    std::optional<std::uint64_t> first_difference(SectorRange range) {
        std::vector<std::byte> data(range.length_bytes(), std::byte{0xee});
        REQUIRE_FALSE(bounce.read(fd.get(), range, scatter(data)));
        return model.first_difference(range, data);
    }
};

}  // namespace

TEST_CASE("bounce buffer: a write changes its sectors and no others", "[unit][drivers]") {
    Disk disk;
    disk.write({0, disk_sectors}, 1);
    std::uint64_t stamp = 2;
    // Inside a block; up to and from a block's border; over borders; whole blocks; longer than the buffer; at both
    // ends.
    for (const SectorRange range : {SectorRange{3, 2}, SectorRange{5, 3}, SectorRange{16, 1}, SectorRange{31, 2},
                                    SectorRange{41, 30}, SectorRange{80, 16}, SectorRange{101, 1500},
                                    SectorRange{1608, 513}, SectorRange{0, 1}, SectorRange{disk_sectors - 1, 1}}) {
        CAPTURE(range.first, range.count);
        disk.write(range, stamp++);
        CHECK_FALSE(disk.first_difference({0, disk_sectors}).has_value());
    }
}

TEST_CASE("bounce buffer: reads any range of sectors", "[unit][drivers]") {
    Disk disk;
    disk.write({0, disk_sectors}, 1);
    for (const SectorRange range : {SectorRange{0, 1}, SectorRange{7, 2}, SectorRange{8, 8}, SectorRange{9, 1400},
                                    SectorRange{512, 512}, SectorRange{disk_sectors - 9, 9}}) {
        CAPTURE(range.first, range.count);
        CHECK_FALSE(disk.first_difference(range).has_value());
    }
}

TEST_CASE("bounce buffer: the last block may end before what is asked, and not after", "[unit][drivers]") {
    Disk disk;
    disk.write({0, disk_sectors}, 1);
    REQUIRE(::ftruncate(disk.fd.get(), 512 * 10) == 0);
    CHECK_FALSE(disk.first_difference({9, 1}).has_value());
    std::vector<std::byte> data(1024);
    CHECK(disk.bounce.read(disk.fd.get(), {9, 2}, scatter(data)) == Errc::unexpected_end_of_file);
}

TEST_CASE("bounce buffer: a write whose block is cut off by the file's end does not make the file longer",
          "[unit][drivers]") {
    Disk disk;
    REQUIRE(::ftruncate(disk.fd.get(), 512 * 10) == 0);
    std::vector<std::byte> data(512);
    CHECK(disk.bounce.write(disk.fd.get(), {9, 1}, scatter(data)) == Errc::unexpected_end_of_file);
    CHECK(::lseek(disk.fd.get(), 0, SEEK_END) == 512 * 10);
}
