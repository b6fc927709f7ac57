// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The memory that images take: headers give the sizes of the tables, and anybody may have written a header.
#include <unistd.h>

#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/examine.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "tests/support/memory_peak.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t mib = 1ULL << 20;
constexpr std::uint64_t tib = 1ULL << 40;
constexpr std::size_t layers = 64;

OpenedImage open(const std::string& path, Access access, std::uint64_t memory_bytes = default_memory_budget_bytes) {
    LocalImageOpener files;
    return open_chain(path, access, Caching::buffered, files, {}, memory_bytes);
}

/// As many images as a chain may have, each with the longest L1 table that there is, a hole at the file's end.
struct LongTables {
    explicit LongTables(std::uint64_t disk_bytes) {
        std::string backing;
        for (std::size_t i = 0; i < layers; ++i) {
            path = directory.path("chain" + std::to_string(i));
            create_image({.path = path,
                          .size_bytes = 64 * mib,
                          .backing_file = backing,
                          .backing_format = backing.empty() ? "" : "qcow2"});
            const FileBytes file{path};
            file.put<std::uint64_t>(header_offset::size_bytes, disk_bytes);
            file.put<std::uint32_t>(header_offset::l1_count, l1_bytes_max / 8);
            file.put<std::uint64_t>(header_offset::l1_offset, mib);
            REQUIRE(::truncate(path.c_str(), mib + l1_bytes_max) == 0);
            backing = path;
        }
    }
    TemporaryDirectory directory{};
    std::string path;  ///< of the last, which is over all others
};

}  // namespace

TEST_CASE("qcow2 memory: of a chain's L1 tables is kept what its disks need", "[unit][qcow2]") {
    const LongTables chain{64 * mib};
    const MemoryPeak peak;
    const OpenedImage image = open(chain.path, Access::read_only);
    CHECK(image.chain.size() == layers);
    CHECK(image.chain[1].l1.size() == 1);
    // Of the first one, which may be made longer, all.
    CHECK(image.chain[0].l1.size() == l1_bytes_max / 8);
    CHECK(image.memory->peak_bytes() < 64 * mib);
    CHECK(peak.bytes() < 64 * mib);
}

TEST_CASE("qcow2 memory: a chain whose disks need more than the budget is refused before it has it", "[unit][qcow2]") {
    const LongTables chain{2048 * tib};  // of which the L1 table is 32 MiB
    const MemoryPeak peak;
    const auto refused = thrown([&] { open(chain.path, Access::read_only); });
    CHECK(refused.code() == Errc::image_invalid);
    CHECK_THAT(refused.what(), Catch::Contains(chain.directory.path("chain56") + ": its L1 table would take 32 MiB") &&
                                   Catch::Contains("the option memory-budget allows 256 MiB"));
    CHECK(peak.bytes() < 256 * mib);
    DriverHarness harness;
    const std::string spec = "qcow2:" + chain.path + "?buffered=yes&memory-budget=40M&metadata-cache=64K";
    CHECK_THAT(thrown([&] { harness.open(spec, Access::read_only); }).what(),
               Catch::Contains("chain62") && Catch::Contains("allows 40 MiB"));
}

TEST_CASE("qcow2 memory: clusters that are counted more than once are counted in the budget", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    create_image({.path = path, .size_bytes = 64 * mib});
    {
        // 32 blocks that count all of their 32768 clusters twice: 2 MiB of counts.
        const ImageBytes image{path};
        const std::uint64_t table = image.refcount_table_offset();
        for (std::uint64_t block = 1; block <= 32; ++block) {
            const std::uint64_t offset = (16 + block) * 65536;
            image.put<std::uint64_t>(table + block * 8, offset);
            for (std::uint64_t i = 0; i < 65536; i += 8)
                image.put<std::uint64_t>(offset + i, 0x0002000200020002);
        }
        REQUIRE(::truncate(path.c_str(), 33 * 32768 * std::int64_t{65536}) == 0);
    }
    const auto refused = thrown([&] { open(path, Access::read_write, 2 * mib); });
    CHECK_THAT(refused.what(), Catch::StartsWith(path + ": its refcounts would take 4096 bytes") &&
                                   Catch::Contains("memory-budget allows 2 MiB"));
    CHECK_FALSE(thrown([&] { open(path, Access::read_write, 16 * mib); }).what() == std::string(refused.what()));
}

TEST_CASE("qcow2 memory: a metadata cache counts, and a disk that is made larger", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    create_image({.path = path, .size_bytes = 64 * mib});
    DriverHarness harness;
    CHECK_THAT(thrown([&] { harness.open("qcow2:" + path + "?metadata-cache=512M"); }).what(),
               Catch::StartsWith(path + ": its metadata-cache") && Catch::Contains("the option memory-budget"));
    CHECK(harness.open("qcow2:" + path + "?metadata-cache=512M&memory-budget=1G"));
    const auto driver = harness.open("qcow2:" + path + "?metadata-cache=64K&memory-budget=4M");
    const auto resize = [&](std::uint64_t bytes) {
        TestRequest request{ImageRequest::Kind::read, {}};
        request.resize_on(*driver, bytes / sector_size_bytes);
        harness.finish(request);
        return request.error;
    };
    CHECK(resize(4 * tib) == Errc::image_invalid);
    CHECK(driver->info().size_sectors == 64 * mib / sector_size_bytes);
    CHECK_FALSE(resize(100 * mib * 1024));
}

TEST_CASE("qcow2 memory: disks of 2 and 16 TiB take what the pages say", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    for (const auto& [size, most] : {std::pair{2 * tib, 60 * mib}, std::pair{16 * tib, 140 * mib}}) {
        const std::string path = directory.path(std::to_string(size));
        create_image({.path = path, .size_bytes = size});
        DriverHarness harness;
        CHECK(harness.open("qcow2:" + path));
        CHECK(open(path, Access::read_write).memory->peak_bytes() + (33 * mib) < most);
    }
}
