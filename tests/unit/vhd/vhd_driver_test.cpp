// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/vhd_driver.hpp"

#include "tests/support/sim_aio_kernel.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;
using Kind = ImageRequest::Kind;

namespace {

constexpr std::uint64_t sectors = 131072;  // 64 MiB

std::string make_disk(const TemporaryDirectory& directory, std::uint64_t block_bytes = block_bytes_usual) {
    return make({.path = directory.path("disk"), .size_bytes = sectors * 512, .block_bytes = block_bytes});
}

/// Writes that are under way together.
class Writes {
  public:
    explicit Writes(ModelDisk& model) : model_(model) {}
    void start(ImageDriver& driver, SectorRange range, std::uint64_t stamp) {
        memory_.push_back(Mapping::anonymous(range.length_bytes()));
        ModelDisk::fill(range, stamp, memory_.back().bytes());
        model_.write(range, stamp);
        requests_.push_back(std::make_unique<TestRequest>(Kind::write, range, memory_.back().bytes()));
        requests_.back()->start_on(driver);
    }
    void finish(DriverHarness& harness) {
        for (const auto& request : requests_) {
            harness.finish(*request);
            CHECK_FALSE(request->error);
        }
    }

  private:
    ModelDisk& model_;
    std::vector<Mapping> memory_;
    std::vector<std::unique_ptr<TestRequest>> requests_;
};

}  // namespace

TEST_CASE("vhd driver: opening and closing changes no byte", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    const auto before = std::filesystem::last_write_time(path);
    const std::uint64_t size = file_size(path);
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        CHECK_FALSE(harness.flush(*driver));
    }
    CHECK(std::filesystem::last_write_time(path) == before);
    CHECK(file_size(path) == size);
}

TEST_CASE("vhd driver: many blocks are made at once, with few commits", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    SimAioKernel kernel;
    DriverHarness harness{kernel};
    ModelDisk model{sectors};
    {
        const auto driver = harness.open("vhd:" + path);
        Writes writes{model};
        for (std::uint64_t block = 0; block < 32; ++block)
            writes.start(*driver, {block * 4096 + block, 8}, block + 1);
        // Room for the blocks is made by a worker; then all data is written before anything else.
        while (kernel.held() < 32)
            harness.step();
        kernel.complete_at_submit();
        kernel.complete_all();
        writes.finish(harness);
        // The data, and for one or two groups: bitmaps, an fdatasync, the table.
        CHECK(harness.io().stats().submitted <= 32 + 32 + 2 * 2 + 2);
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK(check_vhd(path).blocks_used == 32);
}

TEST_CASE("vhd driver: writes into one new block are under way together", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    SimAioKernel kernel;
    DriverHarness harness{kernel};
    ModelDisk model{sectors};
    {
        const auto driver = harness.open("vhd:" + path);
        Writes writes{model};
        for (std::uint64_t i = 0; i < 20; ++i)
            writes.start(*driver, {i * 128, 128}, i + 1);
        while (kernel.held() < 20)
            harness.step();
        kernel.complete_at_submit();
        kernel.complete_all_shuffled();
        writes.finish(harness);
        CHECK(harness.io().stats().submitted == 20 + 3);
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK(check_vhd(path).blocks_used == 1);
}

TEST_CASE("vhd driver: a warm image is read and written with one operation a request", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    ModelDisk model{sectors};
    {
        DriverHarness harness;
        REQUIRE_FALSE(write_stamp(harness, *harness.open("vhd:" + path), model, {0, 4096}, 1));
    }
    DriverHarness harness;
    const auto driver = harness.open("vhd:" + path);
    const Mapping memory = Mapping::anonymous(4096);
    REQUIRE_FALSE(harness.read(*driver, {8, 8}, memory.bytes()));
    CHECK(harness.io().stats().submitted == 2);  // the bitmap, once
    REQUIRE_FALSE(harness.read(*driver, {4000, 8}, memory.bytes()));
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {80, 8}, 2));
    CHECK(harness.io().stats().submitted == 4);
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("vhd driver: sectors that a bitmap does not name are zeros, whatever lies there", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    ModelDisk model{sectors};
    {
        DriverHarness harness;
        REQUIRE_FALSE(write_stamp(harness, *harness.open("vhd:" + path), model, {0, 4096}, 1));
    }
    const std::uint64_t bitmap = FileBytes{path}.get<std::uint32_t>(table_offset) * 512ULL;
    FileBytes{path}.put<std::uint8_t>(bitmap + 2, 0xf0);  // of sectors 16 to 23 the last four are not written
    model.zero({20, 4});
    DriverHarness harness;
    {
        const auto driver = harness.open("vhd:" + path);
        CHECK_FALSE(find_difference(harness, *driver, model));
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {18, 4}, 2));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK(FileBytes{path}.get<std::uint8_t>(bitmap + 2) == 0xfc);
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path), model));
}

TEST_CASE("vhd driver: a hole is all that a discard leaves, and the parent's contents do not come back",
          "[unit][vhd]") {
    const TemporaryDirectory directory;
    make({.path = directory.path("base"), .size_bytes = sectors * 512});
    ModelDisk model{sectors};
    DriverHarness harness;
    REQUIRE_FALSE(write_stamp(harness, *harness.open("vhd:" + directory.path("base")), model, {0, 200}, 1));
    const std::string top = make({.path = directory.path("top"), .size_bytes = sectors * 512, .parent = "base"});
    {
        const auto driver = harness.open("vhd:" + top);
        REQUIRE(driver->info().discard);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {16, 16}, 2));
        CHECK_FALSE(harness.discard(*driver, {10, 8000}));
        model.zero({16, 16});  // what the image itself has; the rest stays
        CHECK_FALSE(find_difference(harness, *driver, model));
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {20, 2}, 3));
    }
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + top), model));
}

TEST_CASE("vhd driver: closed, the file ends with its last block and its footer", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    ModelDisk model{sectors};
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {0, 8}, 1));
        CHECK(driver->activity().growths > 0);
        CHECK(driver->space());
        CHECK(file_size(path) > 8 << 20);
        CHECK(check_vhd(killed(path)).end_footer_missing);
    }
    CHECK(file_size(path) == 4096 + (2 << 20) + footer_bytes);
    CHECK_FALSE(check_vhd(path).end_footer_missing);
}

TEST_CASE("vhd driver: what a crash left behind the last block is never seen", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    // Data of a block that did not get into the table, and no footer.
    REQUIRE(::truncate(path.c_str(), static_cast<off_t>(file_size(path) - footer_bytes)) == 0);
    std::ofstream{path, std::ios::binary | std::ios::app} << std::string(8 << 20, 'x');
    ModelDisk model{sectors};
    DriverHarness harness;
    {
        const auto driver = harness.open("vhd:" + path);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {5, 1}, 1));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path), model));
}

TEST_CASE("vhd driver: options that it does not know, and none for a path, are refused", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make_disk(directory);
    DriverHarness harness;
    CHECK(thrown([&] { harness.open("vhd:"); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { harness.open("vhd:" + path + "?size=1G"); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { harness.open("vhd:" + path + "?metadata-cache=2G"); }).code() == std::errc::invalid_argument);
    CHECK(harness.open("vhd:" + path + "?metadata-cache=64K", Access::read_only)->info().read_only);
}
