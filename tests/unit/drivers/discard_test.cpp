// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/discard.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

DiscardLimits limits_of(const std::string& path, Access access) {
    const UniqueFd fd{::open(path.c_str(), (access == Access::read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)};
    struct stat status {};
    REQUIRE(::fstat(fd.get(), &status) == 0);
    return find_discard_limits(fd.get(), status, access, read_device_discard(fd.get()));
}

std::int64_t allocated_blocks(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_blocks;
}

}  // namespace

TEST_CASE("discard: granules are whole and inside the range", "[unit][drivers]") {
    CHECK(whole_granules({0, 16}, 4096, 0) == SectorRange{0, 16});
    CHECK(whole_granules({1, 16}, 4096, 0) == SectorRange{8, 8});
    CHECK(whole_granules({7, 10}, 4096, 0) == SectorRange{8, 8});
    CHECK(whole_granules({8, 7}, 4096, 0).count == 0);
    CHECK(whole_granules({9, 14}, 4096, 0).count == 0);
    CHECK(whole_granules({5, 0}, 4096, 0).count == 0);
    CHECK(whole_granules({5, 3}, 512, 0) == SectorRange{5, 3});
}

TEST_CASE("discard: granules begin at the device's alignment", "[unit][drivers]") {
    CHECK(whole_granules({0, 32}, 4096, 1024) == SectorRange{2, 24});
    CHECK(whole_granules({3, 32}, 4096, 1024) == SectorRange{10, 24});
    CHECK(whole_granules({0, 2}, 4096, 1024).count == 0);
    CHECK(whole_granules({0, 1}, 4096, 1024).count == 0);
}

TEST_CASE("discard: granules need not be a power of two", "[unit][drivers]") {
    CHECK(whole_granules({1, 20}, 1536, 0) == SectorRange{3, 18});
}

TEST_CASE("discard: asking a file whether it works changes nothing in it", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", (1 << 20) + 512);
    const UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
    REQUIRE(::posix_fallocate(fd.get(), 0, (1 << 20) + 512) == 0);
    const std::int64_t before = allocated_blocks(path);
    const DiscardLimits limits = limits_of(path, Access::read_write);
    CHECK(limits.supported);
    CHECK(limits.granularity_bytes >= 512);
    CHECK(allocated_blocks(path) == before);
    CHECK(std::filesystem::file_size(path) == (1 << 20) + 512);
}

TEST_CASE("discard: a file says the same when it is open for reading", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 1 << 20);
    const DiscardLimits for_reading = limits_of(path, Access::read_only);
    const DiscardLimits for_writing = limits_of(path, Access::read_write);
    CHECK(for_reading.supported == for_writing.supported);
    CHECK(for_reading.granularity_bytes == for_writing.granularity_bytes);
}

TEST_CASE("discard: a block device's limits come from the kernel, for reading and writing alike",
          "[unit][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", 1 << 20), 4096};
    for (const Access access : {Access::read_only, Access::read_write}) {
        const DiscardLimits limits = limits_of(device.path(), access);
        CHECK(limits.supported);
        CHECK(limits.granularity_bytes >= 4096);
        CHECK(limits.alignment_bytes < limits.granularity_bytes);
    }
}
