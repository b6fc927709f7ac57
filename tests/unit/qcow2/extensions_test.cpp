// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Header extensions and feature bits that this driver does not use: kept, or cleared where the specification demands
// that of a program that does not know them.
#include <fstream>

#include "drivers/qcow2/metadata/header.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

namespace {

constexpr std::size_t compatible_offset = 80;
constexpr std::uint32_t unknown_type = 0x12345678;

/// A life in which data is written, tables become longer, and the header with them.
void write_and_grow(const std::string& path) {
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    ModelDisk model{1 << 16};
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {100, 1000}, 1));
    TestRequest request{ImageRequest::Kind::read, {}};
    request.resize_on(*driver, model.size_sectors());
    harness.finish(request);
    REQUIRE_FALSE(request.error);
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {60000, 1000}, 2));
    CHECK_FALSE(harness.flush(*driver));
}

void read_only(const std::string& path) {
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path, Access::read_only);
    const Mapping memory = Mapping::anonymous(4096);
    REQUIRE_FALSE(harness.read(*driver, {0, 8}, memory.bytes()));
}

std::string info(const TemporaryDirectory& directory, const std::string& path) {
    const std::string output = directory.path("info.json");
    std::ofstream{output, std::ios::trunc}.flush();
    REQUIRE(run_qemu_img({"info", "--output=json", path}, output) == 0);
    std::stringstream text;
    text << std::ifstream{output}.rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("qcow2 extensions: what is not known stays as it is, but for features that clear themselves",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "1M", "cluster_size=512");
    const ImageBytes bytes{path};
    // Clusters of 512 bytes have no room for the names of features: the list is empty.
    const std::uint64_t at = bytes.get<std::uint32_t>(header_offset::header_length);
    REQUIRE(bytes.get<std::uint64_t>(at) == 0);
    bytes.put<std::uint32_t>(at, unknown_type);
    bytes.put<std::uint32_t>(at + 4, 8);
    bytes.put<std::uint64_t>(at + 8, 0xfeedfacecafebeef);
    bytes.put<std::uint64_t>(compatible_offset, 1ULL << 40 | 1);
    bytes.put<std::uint64_t>(header_offset::autoclear, 1ULL << 50 | 1ULL << 1 | 1);
    const auto kept = [&] {
        return bytes.get<std::uint32_t>(at) == unknown_type && bytes.get<std::uint64_t>(at + 8) == 0xfeedfacecafebeef &&
               bytes.get<std::uint64_t>(compatible_offset) == (1ULL << 40 | 1);
    };
    read_only(path);
    CHECK(kept());
    CHECK(bytes.get<std::uint64_t>(header_offset::autoclear) == (1ULL << 50 | 1ULL << 1 | 1));
    write_and_grow(path);
    CHECK(kept());
    CHECK(bytes.get<std::uint64_t>(header_offset::autoclear) == 0);  // and raw data means nothing without a data file
}

TEST_CASE("qcow2 extensions: bitmaps stay valid while an image is read, and count as out of date once it is written",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "1M", "cluster_size=4096");
    qemu_img({"bitmap", "--add", path, "changes"});
    const ImageBytes bytes{path};
    REQUIRE(bytes.get<std::uint64_t>(header_offset::autoclear) == 1);
    read_only(path);
    CHECK(bytes.get<std::uint64_t>(header_offset::autoclear) == 1);
    CHECK_THAT(info(directory, path), Catch::Contains("\"changes\""));
    write_and_grow(path);
    CHECK_THAT(info(directory, path), !Catch::Contains("\"changes\""));
    const int status = check_qcow2(path);
    CHECK((status == 0 || status == 3));  // what they had is nobody's now
}
