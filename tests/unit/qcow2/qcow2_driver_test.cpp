// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/qcow2_driver.hpp"

#include <algorithm>
#include <list>
#include <sys/stat.h>

#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using Kind = ImageRequest::Kind;

namespace {

constexpr std::uint64_t cluster_sectors = 128;

struct Disk {
    explicit Disk(const std::string& options = "", const std::string& size = "16M",
                  const std::string& image_options = "")
        : path(make_qcow2(directory.path("disk"), size, options)), image("qcow2:" + path + image_options) {
        open();
    }
    void open(Access access = Access::read_write) {
        driver.reset();
        driver = harness.open(image, access);
    }
    std::error_code write(SectorRange range, std::uint64_t stamp) {
        return write_stamp(harness, *driver, model, range, stamp);
    }
    std::optional<std::uint64_t> difference() { return find_difference(harness, *driver, model); }
    std::uint64_t stored_bytes() const {
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        return static_cast<std::uint64_t>(status.st_blocks) * 512;
    }

    TemporaryDirectory directory{};
    DriverHarness harness{};
    std::string path;
    std::string image;
    OpenDriver driver{};
    ModelDisk model{32768};
};

}  // namespace

TEST_CASE("qcow2 driver: reads what was written, and zeros elsewhere, also after reopening", "[unit][qcow2]") {
    Disk disk;
    CHECK_FALSE(disk.write({0, 8}, 1));
    CHECK_FALSE(disk.write({cluster_sectors - 1, 2}, 2));
    CHECK_FALSE(disk.write({1000, 2000}, 3));
    CHECK_FALSE(disk.write({32767, 1}, 4));
    CHECK_FALSE(disk.write({1500, 1}, 5));
    CHECK_FALSE(disk.difference());
    disk.open(Access::read_only);
    CHECK_FALSE(disk.difference());
    CHECK(disk.driver->info().read_only);
    disk.driver.reset();
    CHECK(check_qcow2(disk.path) == 0);
}

TEST_CASE("qcow2 driver: a warm request is one operation", "[unit][qcow2]") {
    Disk disk;
    CHECK_FALSE(disk.write({0, 512}, 1));
    const std::uint64_t before = disk.harness.io().stats().submitted;
    CHECK_FALSE(disk.write({100, 300}, 2));
    CHECK(disk.harness.io().stats().submitted == before + 1);
    const Mapping memory = Mapping::anonymous(300 * 512);
    CHECK_FALSE(disk.harness.read(*disk.driver, {100, 300}, memory.bytes()));
    CHECK(disk.harness.io().stats().submitted == before + 2);
    CHECK_FALSE(disk.harness.read(*disk.driver, {20000, 300}, memory.bytes()));
    CHECK(disk.harness.io().stats().submitted == before + 2);  // zeros
}

TEST_CASE("qcow2 driver: hundreds of first writes at once share commits", "[unit][qcow2]") {
    Disk disk{"cluster_size=4096"};
    std::vector<Mapping> memory;
    std::vector<std::unique_ptr<TestRequest>> requests;
    for (std::uint64_t index = 0; index < 400; ++index) {
        const SectorRange range{index * 80, 8};
        memory.push_back(Mapping::anonymous(range.length_bytes()));
        ModelDisk::fill(range, index + 1, memory.back().bytes());
        disk.model.write(range, index + 1);
        requests.push_back(std::make_unique<TestRequest>(Kind::write, range, memory.back().bytes()));
    }
    const std::uint64_t before = disk.harness.io().stats().submitted;
    for (const auto& request : requests)
        request->start_on(*disk.driver);
    for (const auto& request : requests) {
        disk.harness.finish(*request);
        CHECK_FALSE(request->error);
    }
    // 400 writes of data, and far fewer than one of tables for each.
    CHECK(disk.harness.io().stats().submitted - before < 500);
    CHECK_FALSE(disk.difference());
    CHECK_FALSE(disk.harness.flush(*disk.driver));
    disk.driver.reset();
    CHECK(check_qcow2(disk.path) == 0);
}

TEST_CASE("qcow2 driver: writes to one new cluster wait for each other", "[unit][qcow2]") {
    Disk disk;
    std::vector<Mapping> memory;
    std::vector<std::unique_ptr<TestRequest>> requests;
    for (std::uint64_t sector = 0; sector < 256; ++sector) {
        memory.push_back(Mapping::anonymous(512));
        ModelDisk::fill({sector, 1}, sector + 1, memory.back().bytes().first(512));
        disk.model.write({sector, 1}, sector + 1);
        requests.push_back(std::make_unique<TestRequest>(Kind::write, SectorRange{sector, 1}, memory.back().bytes()));
        requests.back()->segments.front().iov_len = 512;
        requests.back()->data = requests.back()->segments;
        requests.back()->start_on(*disk.driver);
    }
    for (const auto& request : requests) {
        disk.harness.finish(*request);
        CHECK_FALSE(request->error);
    }
    CHECK_FALSE(disk.difference());
    disk.driver.reset();
    CHECK(check_qcow2(disk.path) == 0);
}

TEST_CASE("qcow2 driver: what is discarded reads as zeros and is given back to the file system", "[unit][qcow2]") {
    Disk disk;
    CHECK_FALSE(disk.write({0, 16384}, 1));
    const std::uint64_t before = disk.stored_bytes();
    CHECK_FALSE(disk.harness.discard(*disk.driver, {100, 16000}));
    disk.model.zero({128, 15872});
    CHECK_FALSE(disk.difference());
    CHECK(disk.stored_bytes() + (7U << 20) < before);
    CHECK_FALSE(disk.write({200, 1000}, 2));
    CHECK_FALSE(disk.difference());
    disk.driver.reset();
    CHECK(check_qcow2(disk.path) == 0);
}

TEST_CASE("qcow2 driver: thousands of requests that end as soon as they begin do not nest", "[unit][qcow2]") {
    Disk disk;
    const Mapping data = Mapping::anonymous(page_size_bytes);
    std::list<TestRequest> requests;
    for (std::uint64_t i = 0; i < 256; ++i)  // as many as are under way at once; the others wait
        requests.emplace_back(ImageRequest::Kind::write, SectorRange{i * 64, 8}, data.bytes()).start_on(*disk.driver);
    for (int i = 0; i < 100'000; ++i)  // of less than a cluster: nothing to do
        requests.emplace_back(ImageRequest::Kind::discard, SectorRange{1, 1}).start_on(*disk.driver);
    CHECK_FALSE(requests.back().answered);
    while (!std::ranges::all_of(requests, &TestRequest::answered))
        disk.harness.step();
}

TEST_CASE("qcow2 driver: discarded clusters are used again", "[unit][qcow2]") {
    Disk disk;
    for (std::uint64_t round = 1; round < 6; ++round) {
        CHECK_FALSE(disk.write({0, 16384}, round));
        CHECK_FALSE(disk.harness.discard(*disk.driver, {0, 16384}));
        disk.model.zero({0, 16384});
    }
    CHECK_FALSE(disk.difference());
    disk.driver.reset();
    CHECK(check_qcow2(disk.path) == 0);
    struct stat status {};
    REQUIRE(::stat(disk.path.c_str(), &status) == 0);
    CHECK(status.st_size < 17 << 20);
}

TEST_CASE("qcow2 driver: a discard over a backing file hides what the image had, not what it never had",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    DriverHarness harness;
    ModelDisk model{8192};
    const std::string base = make_qcow2(directory.path("base"), "4M");
    {
        const auto driver = harness.open("qcow2:" + base);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {0, 512}, 1));
    }
    const auto driver =
        harness.open("qcow2:" + make_qcow2(directory.path("disk"), "4M", "", {"-b", base, "-F", "qcow2"}));
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {0, 10}, 2));
    CHECK_FALSE(harness.discard(*driver, {0, 512}));
    model.zero({0, 128});
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("qcow2 driver: version 2 over a backing file has no discard", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    DriverHarness harness;
    const std::string base = directory.make_file("base", 4 << 20);
    const auto driver =
        harness.open("qcow2:" + make_qcow2(directory.path("disk"), "4M", "compat=0.10", {"-b", base, "-F", "raw"}));
    CHECK_FALSE(driver->info().discard);
    CHECK(harness.discard(*driver, {0, 512}) == std::errc::operation_not_supported);
}

TEST_CASE("qcow2 driver: memory and sectors that direct I/O refuses work", "[unit][qcow2]") {
    Disk disk;
    for (const SectorRange range : {SectorRange{1, 3}, SectorRange{120, 500}, SectorRange{1000, 1}}) {
        const Mapping memory = Mapping::anonymous(range.length_bytes() + 4096);
        const auto bytes = memory.bytes().subspan(3, range.length_bytes());
        ModelDisk::fill(range, range.first, bytes);
        disk.model.write(range, range.first);
        CHECK_FALSE(disk.harness.write(*disk.driver, range, bytes));
    }
    CHECK_FALSE(disk.difference());
}

TEST_CASE("qcow2 driver: damaged tables are an error of the requests that meet them", "[unit][qcow2]") {
    Disk disk;
    CHECK_FALSE(disk.write({0, 512}, 1));
    disk.driver.reset();
    const ImageBytes bytes{disk.path};
    bytes.put<std::uint64_t>(bytes.l2_offset(), 0x10200);                // no cluster's beginning
    bytes.put<std::uint64_t>(bytes.l2_offset() + 8, bytes.l1_offset());  // a table
    disk.open();
    const Mapping memory = Mapping::anonymous(4096);
    CHECK(disk.harness.read(*disk.driver, {0, 8}, memory.bytes()) == Errc::image_invalid);
    CHECK(disk.harness.write(*disk.driver, {0, 8}, memory.bytes()) == Errc::image_invalid);
    CHECK(disk.harness.write(*disk.driver, {128, 8}, memory.bytes()) == Errc::image_invalid);
    CHECK_FALSE(disk.harness.write(*disk.driver, {256, 8}, memory.bytes()));
    CHECK_FALSE(disk.harness.discard(*disk.driver, {0, 256}));
    CHECK_FALSE(disk.harness.write(*disk.driver, {0, 8}, memory.bytes()));
    CHECK_FALSE(disk.harness.write(*disk.driver, {128, 8}, memory.bytes()));
}

TEST_CASE("qcow2 driver: damaged compressed data is an error, and can be written over", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string raw = directory.make_file("raw", 1 << 20);
    const std::string path = directory.path("disk");
    {
        const ImageBytes bytes{raw};
        for (std::uint64_t at = 0; at < 65536; at += 8)
            bytes.put<std::uint64_t>(at, at);
    }
    qemu_img({"convert", "-q", "-c", "-f", "raw", "-O", "qcow2", raw, path});
    const ImageBytes bytes{path};
    const auto entry = bytes.get<std::uint64_t>(bytes.l2_offset());
    REQUIRE((entry >> 62) == 1);
    const std::uint64_t at = entry & ((1ULL << 54) - 1);
    for (std::uint64_t i = 0; i < 64; i += 8)
        bytes.put<std::uint64_t>(at + i, ~0ULL);
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    const Mapping memory = Mapping::anonymous(65536);
    CHECK(harness.read(*driver, {0, 8}, memory.bytes().first(4096)) == Errc::image_invalid);
    CHECK(harness.write(*driver, {0, 8}, memory.bytes().first(4096)) == Errc::image_invalid);
    CHECK_FALSE(harness.write(*driver, {0, 128}, memory.bytes()));
    CHECK_FALSE(harness.read(*driver, {0, 8}, memory.bytes().first(4096)));
}
