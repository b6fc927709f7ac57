// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/create.hpp"

#include "tests/support/images/qemu_img.hpp"
#include "tests/support/images/small_file_system.hpp"
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
    check_refused({.path = path, .size_bytes = 0}, "0 bytes is not possible");
    check_refused({.path = path, .size_bytes = 1000}, "multiple of 512, as 1024 is");
    check_refused({.path = path, .size_bytes = disk_bytes_max + 512}, "at most 2040 GiB");
    check_refused({.path = path, .size_bytes = 1 << 20, .block_bytes = 3 << 20}, "power of two");
    check_refused({.path = path, .size_bytes = 1 << 20, .block_bytes = 2048}, "power of two");
    check_refused({.path = path, .size_bytes = disk_bytes_max, .block_bytes = 4096},
                  "needs blocks of at least 1M, not 4K");
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

TEST_CASE("vhd create: no fixed image where its end could not be written, and one that grows is whole there",
          "[unit][vhd][root]") {
    if (!SmallFileSystem::available(SmallFileSystem::Kind::ext4)) {
        WARN("needs the right to mount, and loop devices");
        return;
    }
    const SmallFileSystem small{SmallFileSystem::Kind::ext4, 64 << 20, 4096};
    const std::string fixed = small.path("fixed");
    const auto error = thrown([&] { create_image({.path = fixed, .size_bytes = 8 << 20, .fixed = true}); });
    CHECK(error.code() == Errc::direct_io_unsupported);
    CHECK_THAT(error.what(), Catch::StartsWith(fixed + ": ") && Catch::Contains("4096 bytes") &&
                                 !Catch::Contains("cannot do direct I/O"));
    CHECK(::access(fixed.c_str(), F_OK) != 0);
    const std::string grows = make({.path = small.path("grows"), .size_bytes = 8 << 20});
    CHECK(check_vhd(grows).unused_bytes == 0);
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + grows);
        ModelDisk model{16384};
        for (const std::uint64_t block : {2U, 0U, 1U})
            REQUIRE_FALSE(write_stamp(harness, *driver, model, {block * 4096, 8}, block + 1));
    }
    const Findings findings = check_vhd(grows);
    CHECK(findings.blocks_used == 3);
    CHECK(findings.unused_bytes == 0);
    CHECK(findings.errors == 0);
    // One that came from elsewhere is read; why it is not written is told, and nothing else.
    const TemporaryDirectory elsewhere;
    const std::string moved = small.path("moved");
    std::filesystem::copy_file(make({.path = elsewhere.path("fixed"), .size_bytes = 8 << 20, .fixed = true}), moved);
    DriverHarness harness;
    CHECK_NOTHROW(harness.open("vhd:" + moved, Access::read_only));
    CHECK_THAT(thrown([&] { harness.open("vhd:" + moved); }).what(),
               Catch::EndsWith("smallest access, 4096 bytes; can only be opened read-only"));
}
