// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images with a data file: which file is opened, and what is written to it.
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/examine.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t disk_bytes = 4 << 20;

struct DataFile {
    explicit DataFile(bool raw = false) {
        create_image({.path = path, .size_bytes = disk_bytes, .data_file = data, .raw_data = raw});
    }
    std::string refusal(const std::string& options = "") {
        const auto error = thrown([&] { harness.open("qcow2:" + path + options); });
        return error.what();
    }
    std::uint64_t stored_bytes() const {
        struct stat status {};
        REQUIRE(::stat(data.c_str(), &status) == 0);
        return static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    TemporaryDirectory directory{};
    std::string path = directory.path("disk");
    std::string data = directory.path("data");
    DriverHarness harness{};
};

}  // namespace

TEST_CASE("qcow2 data file: holds the disk's contents where they are on the disk", "[unit][qcow2]") {
    DataFile t;
    ModelDisk model{disk_bytes / 512};
    {
        const auto driver = t.harness.open("qcow2:" + t.path);
        REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {0, 3}, 1));
        REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {5000, 100}, 2));
        CHECK_FALSE(t.harness.flush(*driver));
    }
    CHECK(check_qcow2(t.path) == 0);
    CHECK(std::filesystem::file_size(t.data) == disk_bytes);
    CHECK_FALSE(find_difference(t.harness, *t.harness.open("raw:" + t.data), model));
    LocalImageOpener files;
    const Chain chain = open_chain(t.path, Access::read_only, Caching::buffered, files).chain;
    CHECK(check_tables(chain.front()).errors == 0);
    CHECK(check_tables(chain.front()).leaked_clusters == 0);
}

TEST_CASE("qcow2 data file: what is discarded is given back, unless the file is to be an image by itself",
          "[unit][qcow2]") {
    const bool raw = GENERATE(false, true);
    DataFile t{raw};
    const auto driver = t.harness.open("qcow2:" + t.path);
    ModelDisk model{disk_bytes / 512};
    REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {0, 2048}, 1));
    CHECK(driver->info().discard == !raw);
    const std::uint64_t before = t.stored_bytes();
    const std::error_code error = t.harness.discard(*driver, {0, 1024});
    CHECK(error == (raw ? std::make_error_code(std::errc::operation_not_supported) : std::error_code{}));
    if (raw) return;
    CHECK(t.stored_bytes() + 512 * 1024 <= before);
    model.zero({0, 1024});
    CHECK_FALSE(find_difference(t.harness, *driver, model));
    REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {10, 3}, 2));
    CHECK_FALSE(find_difference(t.harness, *driver, model));
}

TEST_CASE("qcow2 data file: one that is shorter than the disk is made longer", "[unit][qcow2]") {
    DataFile t;
    REQUIRE(::truncate(t.data.c_str(), 1000) == 0);
    ModelDisk model{disk_bytes / 512};
    const auto driver = t.harness.open("qcow2:" + t.path);
    REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {8000, 100}, 1));
    CHECK_FALSE(find_difference(t.harness, *driver, model));
    CHECK(std::filesystem::file_size(t.data) == disk_bytes);
}

TEST_CASE("qcow2 data file: one that ends inside of a sector is read to its last byte", "[unit][qcow2]") {
    DataFile t{true};
    ModelDisk model{disk_bytes / 512};
    REQUIRE_FALSE(write_stamp(t.harness, *t.harness.open("qcow2:" + t.path), model, {0, 1000}, 5));
    std::filesystem::resize_file(t.data, 1000);
    std::vector<std::byte> expected(512);
    ModelDisk::fill({1, 1}, 5, expected);
    std::fill(expected.begin() + 488, expected.end(), std::byte{0});
    const Access access = GENERATE(Access::read_only, Access::read_write);
    const auto driver = t.harness.open("qcow2:" + t.path, access);
    std::vector<std::byte> read(512, std::byte{0xee});
    REQUIRE_FALSE(t.harness.read(*driver, {1, 1}, read));
    CHECK(read == expected);
}

TEST_CASE("qcow2 data file: one that only the image names is neither written nor made longer", "[unit][qcow2]") {
    DataFile t;
    REQUIRE(::truncate(t.data.c_str(), 1000) == 0);
    LocalImageOpener files;
    const auto refused = thrown([&] { open_chain(t.path, Access::read_write, Caching::buffered, files); });
    CHECK(refused.code() == std::errc::operation_not_permitted);
    CHECK_THAT(refused.what(), Catch::Contains(t.data + ": only the image names it") && Catch::Contains("data-file"));
    CHECK(std::filesystem::file_size(t.data) == 1000);
    CHECK(open_chain(t.path, Access::read_only, Caching::buffered, files).chain.size() == 1);
    CHECK(open_chain(t.path, Access::read_write, Caching::buffered, files, t.data).refcounts);
    CHECK(std::filesystem::file_size(t.data) == disk_bytes);
}

TEST_CASE("qcow2 data file: grows with the disk", "[unit][qcow2]") {
    DataFile t;
    ModelDisk model{2 * disk_bytes / 512};
    {
        const auto driver = t.harness.open("qcow2:" + t.path);
        TestRequest request{ImageRequest::Kind::read, {}};
        request.resize_on(*driver, model.size_sectors());
        t.harness.finish(request);
        REQUIRE_FALSE(request.error);
        REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {model.size_sectors() - 1, 1}, 1));
        CHECK_FALSE(find_difference(t.harness, *driver, model));
    }
    CHECK(std::filesystem::file_size(t.data) == 2 * disk_bytes);
    CHECK(check_qcow2(t.path) == 0);
}

TEST_CASE("qcow2 data file: what it has behind the disk's end does not come to light", "[unit][qcow2]") {
    DataFile t{GENERATE(false, true)};
    ModelDisk model{disk_bytes / 512};
    REQUIRE_FALSE(write_stamp(t.harness, *t.harness.open("qcow2:" + t.path), model, {0, disk_bytes / 512}, 5));
    constexpr std::uint64_t end = 3333;
    ImageBytes{t.path}.put<std::uint64_t>(24, end * 512);
    model.zero({end, model.size_sectors() - end});
    {
        const auto driver = t.harness.open("qcow2:" + t.path);
        TestRequest growing{ImageRequest::Kind::read, {}};
        growing.resize_on(*driver, disk_bytes / 512);
        t.harness.finish(growing);
        REQUIRE_FALSE(growing.error);
        CHECK_FALSE(find_difference(t.harness, *driver, model));
    }
    CHECK_FALSE(find_difference(t.harness, *t.harness.open("raw:" + t.data), model));
    CHECK(check_qcow2(t.path) == 0);
}

TEST_CASE("qcow2 data file: another one is taken when it is named, and none where there is none", "[unit][qcow2]") {
    DataFile t;
    // A relative name begins at the image.
    create_image({.path = t.directory.path("neighbour"), .size_bytes = disk_bytes, .data_file = "its-data"});
    CHECK(std::filesystem::exists(t.directory.path("its-data")));
    t.harness.open("qcow2:" + t.directory.path("neighbour"));
    std::filesystem::rename(t.data, t.directory.path("moved"));
    CHECK_THAT(t.refusal(), Catch::Contains(t.data));
    t.harness.open("qcow2:" + t.path + "?data-file=" + t.directory.path("moved"));
    const std::string plain = make_qcow2(t.directory.path("plain"), "4M");
    CHECK_THAT(thrown([&] { t.harness.open("qcow2:" + plain + "?data-file=/x"); }).what(),
               Catch::Contains("has no data file"));
}

TEST_CASE("qcow2 data file: an image is never its own data, nor its backing file's", "[unit][qcow2]") {
    DataFile t;
    CHECK_THAT(t.refusal("?data-file=" + t.path),
               Catch::Contains("in use") || Catch::Contains("an image of its chain"));
    CHECK_THAT(thrown([&] { t.harness.open("qcow2:" + t.path + "?data-file=" + t.path, Access::read_only); }).what(),
               Catch::Contains("is an image of its chain"));
    // Two images of a chain with one data file: what is written above would change what is below.
    const std::string overlay = t.directory.path("overlay");
    create_image({.path = overlay,
                  .size_bytes = disk_bytes,
                  .backing_file = t.path,
                  .backing_format = "qcow2",
                  .data_file = "other"});
    const auto error = thrown([&] { t.harness.open("qcow2:" + overlay + "?data-file=" + t.data, Access::read_only); });
    CHECK_THAT(error.what(), Catch::Contains("an image of its chain"));
}

TEST_CASE("qcow2 data file: an entry that leads elsewhere is damaged", "[unit][qcow2]") {
    DataFile t;
    ModelDisk model{disk_bytes / 512};
    {
        const auto driver = t.harness.open("qcow2:" + t.path);
        REQUIRE_FALSE(write_stamp(t.harness, *driver, model, {0, 256}, 1));
    }
    const ImageBytes bytes{t.path};
    bytes.put<std::uint64_t>(bytes.l2_offset() + 8, flag_copied | 0x50000);
    const auto driver = t.harness.open("qcow2:" + t.path);
    const Mapping memory = Mapping::anonymous(4096);
    CHECK(t.harness.read(*driver, {128, 8}, memory.bytes()) == Errc::image_invalid);
    CHECK(t.harness.write(*driver, {128, 8}, memory.bytes()) == Errc::image_invalid);
    CHECK_FALSE(t.harness.read(*driver, {0, 8}, memory.bytes()));
}

TEST_CASE("qcow2 data file: who names one that is missing is told", "[unit][qcow2]") {
    DataFile t;
    std::filesystem::remove(t.data);
    CHECK_THAT(t.refusal(), Catch::StartsWith(t.path + ": its data file cannot be used: " + t.data + ": ") &&
                                Catch::Contains("No such file"));
}
