// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/create.hpp"

#include "tests/support/qemu_img.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;

namespace {

void check_refused(const NewImage& image, const std::string& reason) {
    const auto error = thrown([&] { create_image(image); });
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK_THAT(error.what(), Catch::StartsWith(image.path + ": ") && Catch::Contains(reason));
    CHECK(::access(image.path.c_str(), F_OK) != 0);
}

}  // namespace

TEST_CASE("vhd create: images of every sort are zeros, for qemu-img too", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    const bool fixed = GENERATE(true, false);
    create_image({.path = path, .size_bytes = 10 << 20, .fixed = fixed});
    const Findings findings = check_vhd(path);
    CHECK(findings.errors == 0);
    CHECK(findings.unused_bytes == 0);
    DriverHarness harness;
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path, Access::read_only), ModelDisk{20480}));
    if (!qemu_img_available()) return;
    const std::string raw = directory.make_file("raw", 10 << 20);
    CHECK(run_qemu_img({"compare", "-f", "vpc", "-F", "raw", path, raw}) == 0);
}

TEST_CASE("vhd create: what cannot be is refused, and leaves no file", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    check_refused({.path = path, .size_bytes = 0}, "not 0");
    check_refused({.path = path, .size_bytes = 1000}, "multiple of 512");
    check_refused({.path = path, .size_bytes = disk_bytes_max + 512}, "at most 2040 GiB");
    check_refused({.path = path, .size_bytes = 1 << 20, .block_bytes = 3 << 20}, "power of two");
    check_refused({.path = path, .size_bytes = 1 << 20, .block_bytes = 2048}, "power of two");
    check_refused({.path = path, .size_bytes = disk_bytes_max, .block_bytes = 4096}, "blocks as small");
    check_refused({.path = path, .size_bytes = 1 << 20, .fixed = true, .block_bytes = 65536}, "has no blocks");
    check_refused({.path = path, .size_bytes = 1 << 20, .fixed = true, .parent = "x"}, "cannot have a parent");
}

TEST_CASE("vhd create: a file that is there stays, and a parent that is not there makes no image", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 7);
    CHECK(thrown([&] { create_image({.path = path, .size_bytes = 1 << 20}); }).code() == std::errc::file_exists);
    CHECK(file_size(path) == 7);
    const NewImage over{.path = directory.path("over"), .size_bytes = 1 << 20, .parent = "gone"};
    CHECK(thrown([&] { create_image(over); }).code() == std::errc::no_such_file_or_directory);
    CHECK(::access(over.path.c_str(), F_OK) != 0);
}
