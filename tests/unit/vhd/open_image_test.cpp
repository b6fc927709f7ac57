// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/support/images/qemu_img.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;

namespace {

constexpr std::uint64_t mib = 1 << 20;

struct Image {
    explicit Image(std::uint64_t size_bytes = 64 * mib, bool fixed = false)
        : path(make({.path = directory.path("disk"), .size_bytes = size_bytes, .fixed = fixed})), bytes(path) {}
    void check_refused(const std::string& reason, Access access = Access::read_only) const {
        const auto error = refusal_of(path, access);
        CHECK_THAT(error.what(), Catch::StartsWith(path + ": ") && Catch::Contains(reason));
    }
    void cut(std::uint64_t size_bytes) const { REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size_bytes)) == 0); }
    /// An entry of the table.
    void lead(std::uint64_t block, std::uint32_t sector) const { bytes.put(table_offset + block * 4, sector); }
    TemporaryDirectory directory{};
    std::string path;
    FileBytes bytes;
};

std::uint64_t qemu_size(const std::string& path) {
    const std::string out = path + ".info";
    REQUIRE(run_qemu_img({"info", "--output=json", "-f", "vpc", path}, out) == 0);
    std::ifstream file{out};
    // QEMU 8 and later tell of the image's file, too, which has a size of its own.
    return nlohmann::json::parse(file).at("virtual-size").get<std::uint64_t>();
}

}  // namespace

TEST_CASE("vhd image: has the size that qemu-img sees, whoever made it", "[unit][vhd]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("", "force_size=on", "subformat=fixed", "subformat=fixed,force_size=on");
    const std::string size = GENERATE("1M", "37M", "10G", "127G");
    CAPTURE(options, size);
    const std::string theirs = make_vhd(directory.path("theirs"), size, options);
    const OpenedImage image = open_vhd(theirs);
    CHECK(image.info.size_sectors * 512 == qemu_size(theirs));
    const std::uint64_t bytes = GENERATE(512ULL, 12345 * 512ULL, 3ULL << 30, disk_bytes_max);
    CAPTURE(bytes);
    const std::string ours = make({.path = directory.path("ours"), .size_bytes = bytes});
    CHECK(open_vhd(ours).info.size_sectors * 512 == bytes);
    CHECK(qemu_size(ours) == bytes);
}

TEST_CASE("vhd image: a footer that is missing, damaged or overwritten is found at the beginning", "[unit][vhd]") {
    const Image image;
    const std::uint64_t size = file_size(image.path);
    SECTION("missing") {
        image.cut(size - footer_bytes);
    }
    SECTION("damaged") {
        image.bytes.put<std::uint8_t>(size - 100, 1);
    }
    SECTION("overwritten, as XenServer does it") {
        for (std::uint64_t at = size - footer_bytes; at < size; ++at)
            image.bytes.put<std::uint8_t>(at, 0xc7);
    }
    CHECK(open_vhd(image.path).chain.front().size_bytes == 64 * mib);
    CHECK(check_vhd(image.path).end_footer_missing);
    { DriverHarness{}.open("vhd:" + image.path); }
    CHECK_FALSE(check_vhd(image.path).end_footer_missing);
}

TEST_CASE("vhd image: the footer at the end is the one that holds, and the other is made like it", "[unit][vhd]") {
    const Image image;
    const auto spoilt = GENERATE(std::uint8_t{0}, std::uint8_t{0x7f});
    image.bytes.put<std::uint8_t>(50, spoilt);  // its size
    if (spoilt != 0) seal_footer(image.path, 0);
    CHECK(open_vhd(image.path).chain.front().size_bytes == 64 * mib);
    CHECK(check_vhd(image.path).copy_differs == (spoilt != 0));
    { DriverHarness{}.open("vhd:" + image.path); }
    CHECK_FALSE(check_vhd(image.path).copy_differs);
}

TEST_CASE("vhd image: a footer at the end that is another disk's is a guest's, and not the one that holds",
          "[unit][vhd]") {
    const Image image;
    const std::uint64_t end = file_size(image.path) - footer_bytes;
    image.bytes.put<std::uint32_t>(end + 48 + 4, 1 << 20);  // its size
    SECTION("with our UUID it is ours") {
        seal_footer(image.path, end);
        CHECK(open_vhd(image.path).chain.front().size_bytes == 1 * mib);
    }
    SECTION("with another it is not") {
        image.bytes.put<std::uint32_t>(end + 68, 12345);
        seal_footer(image.path, end);
        CHECK(open_vhd(image.path).chain.front().size_bytes == 64 * mib);
        CHECK(check_vhd(image.path).end_footer_missing);
    }
}

TEST_CASE("vhd image: what a guest writes at the beginning of a fixed image does not make another image of it",
          "[unit][vhd]") {
    const Image fixed{4 * mib, true};
    const Image other;
    // The guest writes the footer, the header and the table of an image that grows.
    for (std::uint64_t at = 0; at < 4096; at += 8)
        fixed.bytes.put(at, other.bytes.get<std::uint64_t>(at));
    CHECK(open_vhd(fixed.path).chain.front().raw);
    SECTION("not even when the footer is gone, if the guest's says that it is fixed") {
        fixed.bytes.put<std::uint32_t>(60, 2);
        seal_footer(fixed.path, 0);
        fixed.cut(4 * mib);
        fixed.check_refused("has no footer that is whole");
    }
}

TEST_CASE("vhd image: a footer of 511 bytes is a footer", "[unit][vhd]") {
    const Image image{4 * mib, GENERATE(true, false)};
    image.cut(file_size(image.path) - 1);
    const OpenedImage opened = open_vhd(image.path);
    const Layer& layer = opened.chain.front();
    CHECK(layer.end_footer);
    CHECK(layer.size_bytes == 4 * mib);
}

TEST_CASE("vhd image: what is no VHD, or none that is known, is refused by name", "[unit][vhd]") {
    const Image image;
    const std::uint64_t end = file_size(image.path) - footer_bytes;
    const auto change = [&](std::uint64_t at, std::uint32_t value) {
        image.bytes.put(end + at, value);
        seal_footer(image.path, end);
    };
    SECTION("too short") {
        image.cut(511);
        image.check_refused("too short");
    }
    SECTION("no footer") {
        image.bytes.put<std::uint64_t>(0, 0);
        image.bytes.put<std::uint64_t>(end, 0);
        image.check_refused("not a VHD");
    }
    SECTION("a version") {
        change(12, 0x00020000);
        image.check_refused("unknown version 2");
    }
    SECTION("a type") {
        change(60, 7);
        image.check_refused("unknown type 7");
    }
    SECTION("XenServer's first ones") {
        image.bytes.put<std::uint32_t>(end + 28, 0x74617000);
        change(32, 1);
        image.check_refused("the other way round");
    }
    SECTION("what XenServer disabled") {
        image.bytes.put<std::uint64_t>(end, 0x765f706f69736f6e);
        image.check_refused("not to be used");
    }
    SECTION("sizes") {
        image.bytes.put<std::uint64_t>(end + 48, GENERATE(0ULL, 1000ULL, disk_bytes_max + 512, ~0ULL));
        seal_footer(image.path, end);
        image.check_refused("above 2040 GiB");
    }
}

TEST_CASE("vhd image: a fixed image that is cut off is refused", "[unit][vhd]") {
    const Image image{4 * mib, true};
    image.bytes.put<std::uint64_t>(4 * mib + 48, 8 * mib);
    seal_footer(image.path, 4 * mib);
    image.check_refused("shorter than the disk");
}

TEST_CASE("vhd image: a header or a table outside of the file is refused", "[unit][vhd]") {
    const Image image;
    const std::uint64_t end = file_size(image.path) - footer_bytes;
    SECTION("header") {
        image.bytes.put<std::uint64_t>(end + 16, GENERATE(0ULL, 1ULL << 40, ~0ULL));
        seal_footer(image.path, end);
        image.check_refused("header is outside");
    }
    SECTION("table") {
        image.bytes.put<std::uint64_t>(footer_bytes + 16, GENERATE(1ULL << 40, ~0ULL << 9));
        seal_header(image.path);
        image.check_refused("table of blocks is outside");
    }
}

TEST_CASE("vhd image: blocks over something else, or outside of the file, cannot be written", "[unit][vhd]") {
    const Image image;
    image.cut(16 * mib);  // room, and the footer at the beginning
    SECTION("over the table") {
        image.lead(0, 3);
    }
    SECTION("over the first footer") {
        image.lead(0, 0);
    }
    SECTION("over each other") {
        image.lead(0, 4096);
        image.lead(1, 4097);
    }
    SECTION("twice") {
        image.lead(5, 4096);
        image.lead(6, 4096);
    }
    SECTION("outside") {
        image.lead(31, 0xfffffffe);
    }
    SECTION("more than there is room for") {
        for (std::uint64_t block = 0; block < 32; ++block)
            image.lead(block, 4096);
    }
    CHECK(check_vhd(image.path).errors > 0);
    image.check_refused("not opened for writing", Access::read_write);
    CHECK_NOTHROW(open_vhd(image.path));
}

TEST_CASE("vhd image: a last block that the file ends in is made whole before it is written", "[unit][vhd]") {
    const Image image;
    image.cut(16 * mib);
    image.lead(0, 31 * mib / 1024 - 1);
    CHECK(check_vhd(image.path).errors == 0);
    CHECK(open_vhd(image.path, Access::read_write).chain.front().file_end > 16 * mib);
}
