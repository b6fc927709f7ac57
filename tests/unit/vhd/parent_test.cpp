// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Differencing images and what is below them.
#include <filesystem>

#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;

namespace {

constexpr std::uint64_t sectors = 16384;
constexpr std::uint64_t size_bytes = sectors * 512;

struct Images {
    std::string over(const std::string& name, const std::string& parent, bool raw = false) const {
        return make({.path = directory.path(name), .size_bytes = size_bytes, .parent = parent, .parent_is_raw = raw});
    }
    TemporaryDirectory directory{};
    std::string base = make({.path = directory.path("base"), .size_bytes = size_bytes});
};

/// Writes through a driver of its own.
void write(const std::string& path, ModelDisk& model, SectorRange range, std::uint64_t stamp) {
    DriverHarness harness;
    const auto driver = harness.open("vhd:" + path);
    REQUIRE_FALSE(write_stamp(harness, *driver, model, range, stamp));
}

std::optional<std::uint64_t> difference(const std::string& path, const ModelDisk& model) {
    DriverHarness harness;
    return find_difference(harness, *harness.open("vhd:" + path, Access::read_only), model);
}

}  // namespace

TEST_CASE("vhd parent: an image shows what is below it, and keeps what is written to itself", "[unit][vhd]") {
    const Images images;
    ModelDisk model{sectors};
    write(images.base, model, {100, 5000}, 1);
    const std::string middle = images.over("middle", "base");
    ModelDisk below = model;
    write(middle, model, {200, 3}, 2);
    write(middle, model, {4000, 2000}, 3);
    const ModelDisk between = model;
    const std::string top = images.over("top", images.directory.path("middle"));
    CHECK_FALSE(difference(top, model));
    write(top, model, {0, 1}, 4);
    write(top, model, {201, 1}, 5);
    CHECK_FALSE(difference(top, model));
    CHECK_FALSE(difference(middle, between));
    CHECK_FALSE(difference(images.base, below));
}

TEST_CASE("vhd parent: a raw one has no UUID, and may be shorter than the disk", "[unit][vhd]") {
    const Images images;
    const std::string raw = images.directory.make_file("raw", 1000 * 512);
    ModelDisk model{sectors};
    {
        DriverHarness harness;
        REQUIRE_FALSE(write_stamp(harness, *harness.open("raw:" + raw), model, {10, 900}, 1));
    }
    const std::string top = images.over("top", "raw", true);
    CHECK_FALSE(difference(top, model));
    write(top, model, {990, 20}, 2);
    CHECK_FALSE(difference(top, model));
    REQUIRE(::truncate(raw.c_str(), 0) == 0);
    CHECK_THAT(refusal_of(top).what(), Catch::Contains("its size is 0"));
}

TEST_CASE("vhd parent: what ends inside of a sector is read to its last byte", "[unit][vhd]") {
    const Images images;
    const std::string raw = images.directory.path("raw");
    std::ofstream{raw} << std::string(100'001, 'x');
    const std::string over_raw = images.over("top", "raw", true);
    ModelDisk model{sectors};
    write(images.base, model, {0, 300}, 0x7878787878787878);
    // Its footer is lost, and with it part of a sector.
    const std::uint64_t data = open_vhd(images.base).chain.front().data_offset(0);
    REQUIRE(::truncate(images.base.c_str(), static_cast<off_t>(data + 100'001)) == 0);
    std::vector<std::byte> expected(512);
    for (const std::string& path : {over_raw, images.base, images.over("above", "base")}) {
        CAPTURE(path);
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path, Access::read_only);
        std::vector<std::byte> read(1024, std::byte{0xee});
        REQUIRE_FALSE(harness.read(*driver, {195, 2}, read));
        if (path == over_raw) {
            std::ranges::fill(expected, std::byte{'x'});
        } else {
            ModelDisk::fill({195, 1}, 0x7878787878787878, expected);
        }
        CHECK(std::equal(expected.begin(), expected.begin() + 161, read.begin()));
        CHECK(std::all_of(read.begin() + 161, read.end(), [](std::byte byte) { return byte == std::byte{0}; }));
    }
}

TEST_CASE("vhd parent: images that are moved together find each other", "[unit][vhd]") {
    const Images images;
    ModelDisk model{sectors};
    write(images.base, model, {0, 100}, 1);
    images.over("top", "base");
    const std::string moved = images.directory.path("moved");
    std::filesystem::create_directory(moved);
    std::filesystem::rename(images.base, moved + "/base");
    std::filesystem::rename(images.directory.path("top"), moved + "/top");
    CHECK_FALSE(difference(moved + "/top", model));
}

TEST_CASE("vhd parent: behind a link to a folder, '..' is the folder above the real one", "[unit][vhd]") {
    const Images images;
    std::filesystem::create_directories(images.directory.path("real/folder"));
    std::filesystem::create_directory_symlink("real/folder", images.directory.path("link"));
    std::filesystem::rename(images.base, images.directory.path("real/base"));
    const std::string child = images.over("link/child", "../base");
    CHECK_FALSE(difference(child, ModelDisk{sectors}));
    CHECK_FALSE(difference(images.directory.path("real/folder/child"), ModelDisk{sectors}));
}

TEST_CASE("vhd parent: an image that is moved alone finds it by its absolute name", "[unit][vhd]") {
    const Images images;
    ModelDisk model{sectors};
    write(images.base, model, {0, 100}, 1);
    images.over("top", "base");
    const std::string moved = images.directory.path("moved");
    std::filesystem::create_directory(moved);
    std::filesystem::rename(images.directory.path("top"), moved + "/top");
    CHECK_FALSE(difference(moved + "/top", model));
    std::filesystem::remove(images.base);
    CHECK_THAT(refusal_of(moved + "/top").what(),
               Catch::Contains("its parent cannot be used") && Catch::Contains(moved + "/base"));
}

TEST_CASE("vhd parent: another image in its place is refused, another time is not", "[unit][vhd]") {
    const Images images;
    const std::string top = images.over("top", "base");
    FileBytes{top}.put<std::uint32_t>(footer_bytes + 56, 12345);
    seal_header(top);
    CHECK_NOTHROW(open_vhd(top));
    std::filesystem::remove(images.base);
    make({.path = images.base, .size_bytes = size_bytes});
    const auto error = refusal_of(top);
    CHECK(error.code() == Errc::image_invalid);
    CHECK_THAT(error.what(), Catch::Contains("is not the image that it was"));
}

TEST_CASE("vhd parent: what is no VHD is no parent unless the image says that it is raw", "[unit][vhd]") {
    const Images images;
    const std::string top = images.over("top", "base");
    std::filesystem::remove(images.base);
    images.directory.make_file("base", size_bytes);
    CHECK_THAT(refusal_of(top).what(), Catch::Contains("not a VHD"));
}

TEST_CASE("vhd parent: loops and chains without end are refused", "[unit][vhd]") {
    const Images images;
    const std::string top = images.over("top", "base");
    SECTION("a loop") {
        std::filesystem::remove(images.base);
        std::filesystem::create_hard_link(top, images.base);
        CHECK_THAT(refusal_of(top).what(), Catch::Contains("is its own parent"));
    }
    SECTION("a long chain") {
        std::string last = "top";
        for (std::size_t length = 2; length < chain_length_max; ++length) {
            images.over(std::to_string(length), last);
            last = std::to_string(length);
        }
        CHECK_THAT(thrown([&] { images.over("one-more", last); }).what(), Catch::Contains("too long"));
    }
}

TEST_CASE("vhd parent: an image that does not say where it is is refused", "[unit][vhd]") {
    const Images images;
    const std::string top = images.over("top", "base");
    const FileBytes bytes{top};
    SECTION("of no known platform") {
        for (std::uint64_t i = 0; i < 3; ++i)
            bytes.put<std::uint32_t>(footer_bytes + 576 + i * 24, 0x57693272);
        seal_header(top);
        CHECK_THAT(refusal_of(top).what(), Catch::Contains("does not say where its parent 'base' is"));
    }
    SECTION("outside of the file") {
        bytes.put<std::uint64_t>(footer_bytes + 576 + 16, ~0ULL);
        seal_header(top);
        CHECK_THAT(refusal_of(top).what(), Catch::Contains("outside of the file"));
    }
}
