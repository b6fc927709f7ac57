// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The memory of a VHD: its header determines the length of its table of blocks, and cannot be trusted.
#include <unistd.h>

#include "tests/support/memory_peak.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;

namespace {

constexpr std::uint64_t mib = 1ULL << 20;

OpenedImage open(const std::string& path, Access access, std::uint64_t memory_bytes) {
    LocalImageOpener files;
    return open_chain(path, access, Caching::buffered, files, memory_bytes);
}

}  // namespace

TEST_CASE("vhd memory: to know where a million blocks are takes some bytes for each", "[unit][vhd]") {
    constexpr std::uint64_t blocks = 1 << 20;
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = blocks * 4096, .block_bytes = 4096});
    {
        // All of them in use, from the last to the first, in a file that is a hole.
        const OpenedImage image = open_vhd(path);
        const Header& header = image.chain.front().header;
        const std::uint64_t first = (header.table_offset + header.table_bytes()) / 512 + 8;
        std::vector<std::byte> table(blocks * 4);
        for (std::uint64_t block = 0; block < blocks; ++block)
            store<std::uint32_t>(table, block * 4, static_cast<std::uint32_t>(first + (blocks - 1 - block) * 9));
        const UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
        REQUIRE(::pwrite(fd.get(), table.data(), table.size(), static_cast<off_t>(header.table_offset)) ==
                static_cast<ssize_t>(table.size()));
        const std::uint64_t end = (first + blocks * 9) * 512;
        std::byte footer[512];
        REQUIRE(::pread(fd.get(), footer, sizeof footer, 0) == sizeof footer);
        REQUIRE(::pwrite(fd.get(), footer, sizeof footer, static_cast<off_t>(end)) == sizeof footer);
        REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(end + 512)) == 0);
    }
    {
        const MemoryPeak peak;
        const OpenedImage image = open(path, Access::read_write, 16 * mib);
        CHECK(image.memory->peak_bytes() >= 12 * blocks);
        CHECK(peak.bytes() < 16 * mib);
        CHECK(check_image(image.chain.front()).blocks_used == blocks);
    }
    CHECK_THAT(thrown([&] { open(path, Access::read_write, 8 * mib); }).what(),
               Catch::StartsWith(path + ": the order of its blocks would take 8 MiB") &&
                   Catch::Contains("the option memory-budget allows 8 MiB"));
    CHECK_THAT(thrown([&] { open(path, Access::read_only, 2 * mib); }).what(),
               Catch::StartsWith(path + ": its table of blocks would take"));
}

TEST_CASE("vhd memory: of a parent's table is kept what its disk needs, and all of a chain counts", "[unit][vhd]") {
    const TemporaryDirectory directory;
    std::string parent = make({.path = directory.path("0"), .size_bytes = 64 << 20});
    {
        // A table for 16 million blocks, at the end.
        const FileBytes file{parent};
        const std::uint64_t end = round_up(file_size(parent), 4096);
        const auto header = file.get<std::uint64_t>(16);
        REQUIRE(::truncate(parent.c_str(), static_cast<off_t>(end + (64 << 20))) == 0);
        file.put<std::uint64_t>(header + 16, end);
        file.put<std::uint32_t>(header + 28, 1 << 24);
        seal(parent, header, header_bytes, 36);
    }
    const std::string child = make({.path = directory.path("1"), .size_bytes = 64 << 20, .parent = "0"});
    CHECK_THAT(thrown([&] { open(parent, Access::read_only, 16 * mib); }).what(),
               Catch::StartsWith(parent + ": its table of blocks would take"));
    const MemoryPeak peak;
    const OpenedImage image = open(child, Access::read_only, 16 * mib);
    CHECK(image.chain.size() == 2);
    CHECK(peak.bytes() < 16 * mib);
    CHECK_THAT(thrown([&] { open(child, Access::read_only, 300 * 1024); }).what(),
               Catch::Contains(parent + ": its buffers"));
}

TEST_CASE("vhd memory: the largest disk takes what the pages say", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = disk_bytes_max});
    DriverHarness harness;
    CHECK(harness.open("vhd:" + path + "?memory-budget=22M"));
    CHECK_THAT(thrown([&] { harness.open("vhd:" + path + "?memory-budget=16M"); }).what(),
               Catch::Contains("its metadata-cache"));
}
